package capture

import (
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Dress gives a name in an open directory the attributes that Lstat read. The order
// matters: chown(2) clears set-id bits and capabilities, and nothing can be set on
// what is immutable.
func Dress(dir int, name string, e *plist.Entry) error {
	if err := unix.Fchownat(dir, name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if e.Mode.Type() != fs.ModeSymlink { // and so fchmodat(2) follows nothing
		if err := unix.Fchmodat(dir, name, plist.UnixPerm(e.Mode), 0); err != nil {
			return err
		}
	}
	return DressMore(dir, name, e)
}

// DressMore sets extended attributes, time and inode flags.
func DressMore(dir int, name string, e *plist.Entry) error {
	if err := setXattrs(dir, name, e); err != nil {
		return err
	}
	mtime := unix.NsecToTimespec(0)
	mtime.Sec, mtime.Nsec = e.ModTime.Unix(), int64(e.ModTime.Nanosecond())
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	if err := unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return SetFlags(dir, name, e)
}

// setXattrs gives a name the extended attributes of an entry and no others.
func setXattrs(dir int, name string, e *plist.Entry) error {
	now, _, err := Lstat(dir, name)
	if err != nil {
		return err
	}
	file := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
	for attr := range now.Xattrs {
		if _, ok := e.Xattrs[attr]; !ok {
			if err := unix.Lremovexattr(file, attr); err != nil {
				return err
			}
		}
	}
	for attr, value := range e.Xattrs {
		if old, ok := now.Xattrs[attr]; ok && old == value {
			continue
		}
		if err := unix.Lsetxattr(file, attr, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// SetFlags sets the inode flags that an entry knows, and leaves the others.
func SetFlags(dir int, name string, e *plist.Entry) error {
	if !needsOpen(e) {
		return nil
	}
	now, _, err := Lstat(dir, name)
	if err != nil || now.Flags == e.Flags {
		return err
	}
	fd, err := OpenAt(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^now.Flags|e.Flags))
}
