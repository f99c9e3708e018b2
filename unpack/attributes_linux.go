package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// setAttributes gives the file of this name the attributes of e, but for the flags
// that pin sets. The order matters: chown drops set-id bits and capabilities, an
// ACL and the mode change each other, and everything may change the time.
func (s *system) setAttributes(name string, e *plist.Entry) error {
	now, _, err := s.lstat(name, noHash)
	if err != nil {
		return err
	}
	fd, err := s.open(name, pathOnly)
	if err != nil {
		return callError("open", name, err)
	}
	at := "/proc/self/fd/" + strconv.Itoa(fd) // the file itself, even if it is a symlink
	set := func(call string, do func() error) {
		if err == nil {
			if err = s.about(call, name); err == nil {
				err = do()
			}
			err = callError(call, name, err)
		}
	}
	set("chown", func() error { return unix.Fchownat(fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH) })
	if e.Mode.Type() != fs.ModeSymlink {
		set("chmod", func() error { return unix.Chmod(at, plist.UnixPerm(e.Mode)) })
	}
	if len(now.Xattrs)+len(e.Xattrs) > 0 {
		set("setxattr", func() error { return setXattrs(at, now.Xattrs, e.Xattrs) })
	}
	if want := e.Flags &^ pinned; now.Flags != want {
		set("setflags", func() error { return setFlags(at, now.Flags, want) })
	}
	set("utimens", func() error {
		times := []unix.Timespec{
			{Nsec: unix.UTIME_OMIT},
			{Sec: e.ModTime.Unix(), Nsec: int64(e.ModTime.Nanosecond())},
		}
		return unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
	})
	return closing(fd, err)
}

// pinned are the inode flags of a file that can be neither renamed nor removed:
// FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h.
const pinned = 0x10 | 0x20

// pin sets the flags that setAttributes leaves out.
func (s *system) pin(e *plist.Entry) error {
	if e.Flags&pinned == 0 {
		return nil
	}
	return s.change("setflags", e.Path, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, pathOnly|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return closing(fd, setFlags("/proc/self/fd/"+strconv.Itoa(fd), 0, e.Flags))
	})
}

// setXattrs makes the extended attributes of a file, now, those that are wanted.
func setXattrs(at string, now, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := want[name]; ok || name == "security.selinux" { // a policy's own, by path
			continue
		}
		if err := unix.Removexattr(at, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := unix.Setxattr(at, name, []byte(want[name]), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setFlags puts the flags that are wanted in the place of those that a user may
// set and that are set now. The others are the file system's own.
func setFlags(at string, now, want uint32) error {
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	all, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(all&^now|want))
	}
	return closing(fd, err)
}

// withoutLayout leaves out the names under which XFS shows once more what
// system.posix_acl_access and _default are: setting those sets these.
func withoutLayout(xattrs map[string]string) map[string]string {
	maps.DeleteFunc(xattrs, func(name, _ string) bool {
		return name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
	})
	if len(xattrs) == 0 {
		return nil
	}
	return xattrs
}
