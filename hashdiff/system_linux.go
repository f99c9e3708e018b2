package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
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

// volumes are file systems that are about to be written to, as directories that are
// opened before: syncfs(2) tells the errors of what was written since.
type volumes struct {
	dirs map[uint64]*os.File // by device
	last string
}

// add adds the file system of a directory below a root, or, if that is not there, or is
// none any more, of the first one above it that is.
func (v *volumes) add(root *os.Root, dir string) error {
	if dir == v.last {
		return nil
	}
	v.last = dir
	f, err := root.Open(dir)
	for err != nil && dir != "." {
		dir = path.Dir(dir)
		f, err = root.Open(dir)
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, ok := v.dirs[st.Dev]; ok {
		return f.Close()
	}
	if v.dirs == nil {
		v.dirs = make(map[uint64]*os.File)
	}
	v.dirs[st.Dev] = f
	return nil
}

// sync returns when all that was written to them is on disk, and closes them.
func (v *volumes) sync() (err error) {
	for _, f := range v.dirs {
		err = errors.Join(err, unix.Syncfs(int(f.Fd())), f.Close())
	}
	return err
}

// syncFile does nothing: that of its file system is enough.
func syncFile(*os.File) error { return nil }

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

// spaceOf returns how many bytes of disk a copy of a file takes: a hole takes none.
func spaceOf(st fs.FileInfo) int64 {
	return min(st.Size(), st.Sys().(*syscall.Stat_t).Blocks*512)
}

// copyFile copies a file to an empty one.
func copyFile(to, from *os.File) error { return capture.CopyContent(to, from) }

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
	err = compare(s, Nothing{}, func(p pair) error { return wrap(p.before, r.makeMutable(p.before)) })
	return errors.Join(err, os.RemoveAll(dir))
}

// blindHere is what snapshots on this system do not show: nothing more.
var blindHere []string
