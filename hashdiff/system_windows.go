package hashdiff

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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

// volumes are file systems that are about to be written to: nothing, as of syncAll.
type volumes struct{}

func (*volumes) add(*os.Root, string) error { return nil }
func (*volumes) sync() error                { return nil }

// syncFile writes to disk what was written to a file.
func syncFile(f *os.File) error { return f.Sync() }

// remove removes a name; a directory must be empty. The names are of a walk, which
// went through no symlink. (Wine 8 can not do what [os.Root.Remove] and
// [os.RemoveAll] ask for: FileDispositionInformationEx.)
func (r *restorer) remove(path string) error {
	return os.Remove(filepath.Join(r.root.Name(), host(path)))
}

// removeTree removes a directory and all in it.
func removeTree(dir string) error {
	var names []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	for _, name := range slices.Backward(names) {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// blindHere is what snapshots on this system do not show.
var blindHere = []string{
	"what a process that outlives the command writes later",
	"the registry",
	"owners, access control lists, alternate data streams, and attributes but read-only",
}
