package hashdiff

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// errLocked says that the run of a staging directory is still alive.
var errLocked = errors.New("in use by another process")

// lock creates a file if it is not there and locks it, until it is closed.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{}); err != nil {
		return nil, errors.Join(errLocked, f.Close())
	}
	return f, nil
}

// syncAll does nothing: a file's own Sync is all there is.
func syncAll(string) error { return nil }
