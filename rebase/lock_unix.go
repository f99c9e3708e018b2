//go:build unix

package rebase

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock, which flock(2) drops with the descriptor, or returns
// errLocked.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
