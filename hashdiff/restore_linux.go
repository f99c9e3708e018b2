package hashdiff

import (
	"errors"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// within calls do with the open directory of a path and its last name.
func (r *restorer) within(p string, do func(dir int, name string) error) error {
	f, err := r.root.Open(host(path.Dir(p)))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return do(int(f.Fd()), path.Base(p))
}

// mknod makes a device, a fifo or a socket.
func (r *restorer) mknod(rec *Record) error {
	return r.within(rec.Path, func(dir int, name string) error {
		return unix.Mknodat(dir, name, plist.UnixMode(rec.Mode), int(unix.Mkdev(rec.Major, rec.Minor)))
	})
}

// dressMore sets extended attributes, times and inode flags.
func (r *restorer) dressMore(rec *Record) error {
	return r.within(rec.Path, func(dir int, name string) error { return capture.DressMore(dir, name, &rec.Entry) })
}

// makeMutable takes away the flags that forbid to change or remove a name.
func (r *restorer) makeMutable(rec *Record) error {
	const hard = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND // the same bits as of FS_IOC_GETFLAGS
	if rec.Flags&hard == 0 {
		return nil
	}
	soft := *rec
	soft.Flags &^= hard
	err := r.within(rec.Path, func(dir int, name string) error { return capture.SetFlags(dir, name, &soft.Entry) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
