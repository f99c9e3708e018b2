package overlay

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// lostFlags are the inode flags that overlayfs does not take along when it copies
// a file up: all but those of OVL_COPY_FS_FLAGS_MASK and OVL_PROT_FS_FLAGS_MASK
// (fs/overlayfs/overlayfs.h): synchronous, no access time, append only, immutable.
// A file that lost one did so by the copy, not by the command.
const lostFlags = ^uint32(0x00000008 | 0x00000080 | 0x00000020 | 0x00000010)

// privateXattrs is the prefix of the attributes in which overlayfs keeps its own
// notes on the files of upper.
func (l *layer) privateXattrs() string {
	if l.userxattr {
		return "user.overlay."
	}
	return "trusted.overlay."
}

// shownXattrs turns the attributes of a file in lower into what an overlay shows
// of them: it hides its private ones, and unescapes those that somebody set
// inside an overlay, who thinks of an overlay in the overlay (Linux 6.7).
func (l *layer) shownXattrs(attrs map[string]string) map[string]string {
	private := l.privateXattrs()
	shown := make(map[string]string, len(attrs))
	for name, value := range attrs {
		rest, ok := strings.CutPrefix(name, private)
		inner, escaped := strings.CutPrefix(rest, "overlay.")
		switch {
		case !ok:
			shown[name] = value
		case escaped:
			shown[private+inner] = value
		}
	}
	return shown
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
