//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package capture

import (
	"errors"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Lstat is not there on this system.
func Lstat(int, string) (plist.Entry, Inode, error) {
	return plist.Entry{}, Inode{}, errors.ErrUnsupported
}
