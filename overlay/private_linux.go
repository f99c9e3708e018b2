package overlay

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// lostFlags are the inode flags that overlayfs does not take along when it copies
// a file up: all but those of OVL_COPY_FS_FLAGS_MASK and OVL_PROT_FS_FLAGS_MASK
// (fs/overlayfs/overlayfs.h): synchronous, no access time, append only, immutable.
// A file that lost one did so by the copy, not by the command. (New files in a
// directory that lost one do not inherit it, and will when they are unpacked.)
const lostFlags = ^uint32(0x00000008 | 0x00000080 | 0x00000020 | 0x00000010)

// restore gives a file in merged what the overlay hides or loses of the same file
// in lower, and the command had no part in: inode flags, and attributes that look
// like private ones. Those that somebody set inside an overlay, who thought of an
// overlay in the overlay, it shows without the "overlay." by which it knows them
// (Linux 6.7).
func (l *layer) restore(after, before *plist.Entry) {
	after.Flags |= before.Flags & lostFlags
	private := l.privateXattrs()
	for name, value := range before.Xattrs {
		rest, ok := strings.CutPrefix(name, private)
		if !ok {
			continue
		}
		if inner, escaped := strings.CutPrefix(rest, "overlay."); escaped {
			value, ok = after.Xattrs[private+inner]
			delete(after.Xattrs, private+inner)
		}
		if ok {
			after.Xattrs = setXattr(after.Xattrs, name, value)
		}
	}
}

func setXattr(attrs map[string]string, name, value string) map[string]string {
	if attrs == nil {
		attrs = make(map[string]string)
	}
	attrs[name] = value
	return attrs
}

// isReplaced reports whether a directory of upper hides or redirects the lower
// one of its name: whether it is opaque ("x" in place of "y" only says that it
// may hold whiteouts that are extended attributes) or renamed (overlayfs.rst).
func (l *layer) isReplaced(dir cursor) (bool, error) {
	opaque, err := hasXattr(dir.fd, l.privateXattrs()+"opaque", "x")
	if err != nil || opaque {
		return opaque, err
	}
	return hasXattr(dir.fd, l.privateXattrs()+"redirect", "")
}

// hasXattr reports whether a file has an attribute with another value than but.
func hasXattr(fd int, name, but string) (bool, error) {
	var value [2]byte
	n, err := unix.Fgetxattr(fd, name, value[:])
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return false, nil
	case errors.Is(err, unix.ERANGE): // longer than we care for
		return true, nil
	case err != nil:
		return false, fmt.Errorf("xattr %s: %w", name, err)
	}
	return string(value[:n]) != but, nil
}
