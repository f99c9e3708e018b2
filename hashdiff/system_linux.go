package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

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

// syncAll writes to disk what was written to the file system of a directory.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// freeSpace returns how many bytes an ordinary user may still write to the file
// system of a directory.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return int64(st.Bavail) * st.Bsize, err
}

// cloneFile makes an empty file share the blocks of another one: ioctl_ficlone(2),
// on btrfs, XFS and bcachefs.
func cloneFile(to, from *os.File) error {
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
}

// copyFile copies the rest of a file to an empty one, and leaves holes where the
// kernel tells of them.
func copyFile(to, from *os.File) error {
	size, err := from.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole to the end
			break
		}
		if err != nil {
			return err
		}
		if at, err = from.Seek(data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := copyRange(to, from, data, at); err != nil {
			return err
		}
	}
	return to.Truncate(size)
}

func copyRange(to, from *os.File, start, end int64) error {
	for _, f := range []*os.File{to, from} {
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(to, from, end-start)
	return err
}

// removeTree removes a directory and all in it, immutable files too. A mount
// inside must not be there and is not entered.
func removeTree(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(mounts), " "+dir+"/") {
		return fmt.Errorf("%s: something is mounted in it", dir)
	}
	if err := os.RemoveAll(dir); err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	r := &restorer{root: root}
	s := Scan(context.Background(), Scope{Root: dir, Paths: []string{"."}}, Options{Stat: true})
	defer s.Close() //nolint:errcheck // there is none
	err = compare(s, Nothing{}, func(p pair) error { return wrap(p.before, r.soften(p.before)) })
	return errors.Join(err, os.RemoveAll(dir))
}

// blindHere is what snapshots on this system do not show: nothing more.
var blindHere []string
