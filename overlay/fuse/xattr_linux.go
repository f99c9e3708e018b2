package fuse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// OwnerXattr is the attribute in which regular files and directories have the
// owner, "UID:GID", that the namespace has no ids for. An overlay copies it up
// with the file.
const OwnerXattr = "user.sandbox-install.owner"

// What an overlay that was mounted with userxattr takes for its own notes, and
// how it wants those of others, which it shows without the second "overlay."
// (Linux 6.7).
const (
	overlayXattr = "user.overlay."
	escapedXattr = overlayXattr + "overlay."
)

// outside translates the name of an attribute to the one that a file has outside;
// "" if it is not shown. What an overlay could not copy up is not: trusted.*, and
// of security.* all but capabilities (xattr(7)).
func outside(name string) string {
	switch {
	case strings.HasPrefix(name, escapedXattr):
		return overlayXattr + name[len(escapedXattr):]
	case strings.HasPrefix(name, overlayXattr):
		return ""
	case strings.HasPrefix(name, "user."), name == "security.capability", isACL(name):
		return name
	}
	return ""
}

// inside is the inverse of outside.
func inside(name string) string {
	if strings.HasPrefix(name, overlayXattr) {
		return escapedXattr + name[len(overlayXattr):]
	}
	if outside(name) == "" {
		return ""
	}
	return name
}

func isACL(name string) bool {
	return name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// GetXAttr reads an attribute.
func (m *Mirror) GetXAttr(_ <-chan struct{}, header *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	n := m.node(header.NodeId)
	if n == nil {
		return 0, gofuse.Status(unix.ESTALE)
	}
	var value []byte
	var err error
	if name == OwnerXattr {
		value, err = m.owner(n)
	} else {
		value, err = m.xattr(n, name)
	}
	if err != nil {
		return 0, m.status(n, err)
	}
	return fill(dest, value)
}

// fill copies an answer to where the kernel wants it, or tells its size.
func fill(dest, value []byte) (uint32, gofuse.Status) {
	size := uint32(len(value))
	if len(dest) < len(value) {
		return size, gofuse.ERANGE
	}
	copy(dest, value)
	return size, gofuse.OK
}

// owner returns the value of OwnerXattr.
func (m *Mirror) owner(n *node) ([]byte, error) {
	var st unix.Stat_t
	if err := m.stat(n, &st); err != nil {
		return nil, err
	}
	typ := st.Mode & unix.S_IFMT
	if typ != unix.S_IFREG && typ != unix.S_IFDIR || m.opt.HasUID(st.Uid) && m.opt.HasGID(st.Gid) {
		return nil, unix.ENODATA
	}
	return fmt.Appendf(nil, "%d:%d", st.Uid, st.Gid), nil
}

func (m *Mirror) xattr(n *node, name string) (value []byte, err error) {
	name = outside(name)
	if name == "" {
		return nil, unix.ENODATA
	}
	err = m.named(n, func(path string) error {
		value, err = sized(func(buf []byte) (int, error) { return unix.Lgetxattr(path, name, buf) })
		return err
	})
	if err == nil && isACL(name) && !m.hasAll(value) {
		return nil, unix.ENODATA
	}
	return value, err
}

// ListXAttr lists the attributes.
func (m *Mirror) ListXAttr(_ <-chan struct{}, header *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	n := m.node(header.NodeId)
	if n == nil {
		return 0, gofuse.Status(unix.ESTALE)
	}
	var names []byte
	err := m.named(n, func(path string) (err error) {
		names, err = sized(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
		return err
	})
	if err == unix.ENOTSUP {
		err = nil
	}
	if err != nil {
		return 0, m.status(n, err)
	}
	var shown []byte
	for name := range strings.SplitSeq(string(bytes.TrimSuffix(names, []byte{0})), "\x00") {
		name = inside(name)
		if name == "" || name == OwnerXattr {
			continue
		}
		if isACL(name) {
			if _, err := m.xattr(n, name); err != nil {
				continue
			}
		}
		shown = append(append(shown, name...), 0)
	}
	if _, err := m.owner(n); err == nil {
		shown = append(append(shown, OwnerXattr...), 0)
	}
	return fill(dest, shown)
}

// named calls do with a path to a node: the calls for attributes take no directory
// (listxattrat(2) is of Linux 6.13), and a descriptor to read from is not to be had
// of every file.
func (m *Mirror) named(n *node, do func(path string) error) error {
	return m.at(n, func(dir int, name string) error {
		return do("/proc/self/fd/" + strconv.Itoa(dir) + "/" + name)
	})
}

// sized calls read with a buffer as large as it says, until nothing has grown.
func sized(read func([]byte) (int, error)) ([]byte, error) {
	for {
		size, err := read(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buf := make([]byte, size)
		size, err = read(buf)
		if err != unix.ERANGE {
			return buf[:max(size, 0)], err
		}
	}
}

// hasAll reports whether the namespace has all ids of an access control list. One
// with another id could not be read there, and its file not be copied up.
//
// A list is a version of four bytes, then entries of eight: tag and permissions of
// two bytes each, an id of four (linux/posix_acl_xattr.h), little-endian.
func (m *Mirror) hasAll(acl []byte) bool {
	const header, entry, user, group = 4, 8, 0x02, 0x08
	for rest := acl[min(header, len(acl)):]; len(rest) >= entry; rest = rest[entry:] {
		id := binary.LittleEndian.Uint32(rest[4:])
		switch binary.LittleEndian.Uint16(rest) {
		case user:
			if !m.opt.HasUID(id) {
				return false
			}
		case group:
			if !m.opt.HasGID(id) {
				return false
			}
		}
	}
	return true
}
