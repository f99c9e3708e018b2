//go:build freebsd || netbsd || openbsd

package unpack

import "golang.org/x/sys/unix"

const tradesNames = false

// renameWith: rename(2) knows no flags here.
func renameWith(renaming, int, string, int, string) error { return unix.ENOSYS }
