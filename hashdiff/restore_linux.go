package hashdiff

import (
	"errors"
	"io/fs"
	"path"
	"strconv"

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
	return r.within(rec.Path, func(dir int, name string) error {
		if err := setXattrs(dir, name, rec); err != nil {
			return err
		}
		mtime := unix.NsecToTimespec(0)
		mtime.Sec, mtime.Nsec = rec.ModTime.Unix(), int64(rec.ModTime.Nanosecond())
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
		if err := unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		return setFlags(dir, name, rec)
	})
}

// setXattrs gives a name the extended attributes of a record and no others.
func setXattrs(dir int, name string, rec *Record) error {
	now, _, err := capture.Lstat(dir, name)
	if err != nil {
		return err
	}
	file := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
	for attr := range now.Xattrs {
		if _, ok := rec.Xattrs[attr]; !ok {
			if err := unix.Lremovexattr(file, attr); err != nil {
				return err
			}
		}
	}
	for attr, value := range rec.Xattrs {
		if old, ok := now.Xattrs[attr]; ok && old == value {
			continue
		}
		if err := unix.Lsetxattr(file, attr, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// setFlags sets the inode flags that a record knows, and leaves the others.
func setFlags(dir int, name string, rec *Record) error {
	if !rec.Mode.IsRegular() && !rec.Mode.IsDir() {
		return nil
	}
	now, _, err := capture.Lstat(dir, name)
	if err != nil || now.Flags == rec.Flags {
		return err
	}
	fd, err := capture.OpenAt(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^now.Flags|rec.Flags))
}

// soften takes away the flags that forbid to change or remove a name.
func (r *restorer) soften(rec *Record) error {
	const hard = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND // the same bits as of FS_IOC_GETFLAGS
	if rec.Flags&hard == 0 {
		return nil
	}
	soft := *rec
	soft.Flags &^= hard
	err := r.within(rec.Path, func(dir int, name string) error { return setFlags(dir, name, &soft) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
