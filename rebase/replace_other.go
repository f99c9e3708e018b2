//go:build !unix

package rebase

import (
	"io/fs"
	"os"
)

// copyOwner does nothing: a new file inherits from its directory.
func copyOwner(*os.File, fs.FileInfo) error { return nil }

// inode knows no hard links.
func inode(fs.FileInfo) (id [2]uint64, ok bool) { return id, false }

// syncDir does nothing: Windows flushes no directories, NTFS keeps a journal of them.
func syncDir(*os.Root, string) error { return nil }
