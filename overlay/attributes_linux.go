package overlay

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// dress gives the empty directory upper the attributes of lower: the root of an
// overlay shows those of its upper.
func dress(upper, lower string) error {
	var st unix.Stat_t
	if err := unix.Stat(lower, &st); err != nil {
		return err
	}
	if err := unix.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(upper, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyXattrs(upper, lower); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, upper, []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// copyXattrs copies all but the private attributes of an overlay that lower may
// itself be a layer of, and what the upper's file system has no room for.
func copyXattrs(to, from string) error {
	names, err := xattrs(func(b []byte) (int, error) { return unix.Listxattr(from, b) })
	if err != nil && err != unix.ENOTSUP {
		return err
	}
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		value, err := xattrs(func(b []byte) (int, error) { return unix.Getxattr(from, name, b) })
		if err != nil {
			return err
		}
		if err := unix.Setxattr(to, name, value, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

// xattrs calls read with enough room: XATTR_LIST_MAX and XATTR_SIZE_MAX are both
// 64 KiB (xattr(7)).
func xattrs(read func([]byte) (int, error)) ([]byte, error) {
	b := make([]byte, 64<<10)
	n, err := read(b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}
