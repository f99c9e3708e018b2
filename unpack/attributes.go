package unpack

import (
	"errors"
	"io/fs"
	"maps"

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
	n, err := s.disk.inode(name)
	if err != nil {
		return callError("open", name, err)
	}
	set := func(call string, do func() error) {
		if err == nil {
			err = s.change(call, name, do)
		}
	}
	set("chown", func() error { return n.chown(e.UID, e.GID) })
	if e.Mode.Type() != fs.ModeSymlink {
		set("chmod", func() error { return n.chmod(e.Mode) })
	}
	if len(now.Xattrs)+len(e.Xattrs) > 0 {
		set("setxattr", func() error { return n.setXattrs(now.Xattrs, e.Xattrs) })
	}
	if want := e.Flags &^ pinned; now.Flags != want {
		set("setflags", func() error { return n.setFlags(now.Flags, want) })
	}
	set("utimens", func() error { return n.utimens(e.ModTime) })
	return errors.Join(err, n.Close())
}

// pinned are the inode flags of a file that can be neither renamed nor removed:
// FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h.
const pinned = 0x10 | 0x20

// pin sets the flags that setAttributes leaves out.
func (s *system) pin(e *plist.Entry) error {
	if e.Flags&pinned == 0 {
		return nil
	}
	return s.change("setflags", e.Path, func() error {
		n, err := s.disk.inode(e.Path)
		if err != nil {
			return err
		}
		return errors.Join(n.setFlags(0, e.Flags), n.Close())
	})
}

// label is the attribute that holds a file's SELinux label. It belongs to the policy of
// the machine and not to a file or package (restorecon(8)): the kernel gives new files
// one by where they are made, and what takes a place gets the label of that place.
const label = "security.selinux"

// withoutMachines leaves out labels, and the names under which XFS shows once more
// what system.posix_acl_access and _default are: setting those sets these.
func withoutMachines(xattrs map[string]string) map[string]string {
	maps.DeleteFunc(xattrs, func(name, _ string) bool {
		return name == label || name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
	})
	if len(xattrs) == 0 {
		return nil
	}
	return xattrs
}
