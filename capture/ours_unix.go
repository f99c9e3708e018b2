//go:build unix

package capture

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs reports whether a directory is one that this user alone may write to.
func isOurs(st fs.FileInfo) bool {
	return st.Sys().(*syscall.Stat_t).Uid == uint32(os.Geteuid()) && st.Mode().Perm()&0o077 == 0
}
