//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package hashdiff

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// errLocked says that the run of a staging directory is still alive.
var errLocked = errors.New("in use by another process")

// lock creates a file if it is not there and locks it, until it is closed.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errLocked, f.Close())
	}
	return f, nil
}

// syncAll writes to disk what was written anywhere.
func syncAll(string) error { return unix.Sync() }

// volumes are file systems that are about to be written to. There is no way to have one
// of them written to disk.
type volumes struct{}

func (*volumes) add(*os.Root, string) error { return nil }

// sync writes to disk what was written anywhere.
func (*volumes) sync() error { return unix.Sync() }

// syncFile does nothing: sync is enough.
func syncFile(*os.File) error { return nil }

// removeTree removes a directory and all in it.
func removeTree(dir string) error { return os.RemoveAll(dir) }

// blindHere is what snapshots on this system do not show.
var blindHere = []string{
	"what a process that outlives the command writes later",
	"extended attributes, access control lists and file flags",
}
