package overlay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A layer is one mount of the sandbox, to be read after the run when no process
// is left in it.
//
// The three directories are descriptors of roots with nothing mounted on or
// below them: detached clones made without AT_RECURSIVE. O_PATH descriptors will
// do. The reader never writes to them; a lower cloned with MOUNT_ATTR_NOATIME
// keeps its access times too. Who made the layer closes them, after the tree
// that harvest returned.
type layer struct {
	path string // entry path of the mount point; "." for the root

	// upper is where the changes landed, or nil when the mount is one regular
	// file of which the sandbox had a private copy. Then lower and merged are the
	// directories that hold the original and the copy, both under the last name
	// of path.
	upper *os.File

	lower  *os.File // before the run
	merged *os.File // after it: the root of the overlay, which must still be alive

	flavour
	lies *lies // what the command was told of its files, in a user namespace; else nil
}

// isBelieved reports whether the attributes of files may tell that they are something
// else to the command.
func (l *layer) isBelieved() bool { return l.lies != nil }

// parts reports whether the overlay is the kernel's in a user namespace, without
// privilege: it has neither an index nor numbers to rely on.
func (l *layer) parts() bool { return l.lies != nil && !l.fuse }

// died reports whether nobody serves the file system below any more, as when the program
// behind FUSE has ended or a server's export is gone. Statfs asks; attributes may be
// remembered.
func (l *layer) died() bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(l.lower.Fd()), &st)
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ESHUTDOWN)
}

// A flavour is a kind of overlay.
type flavour struct {
	// userxattr says that the overlay is mounted with that option, as in a user
	// namespace: its private attributes are user.overlay.*, not trusted.overlay.*
	// (overlayfs.rst).
	userxattr bool

	// fuse says that it is a union over FUSE, not the kernel's.
	fuse bool
}

// privateXattrs is the prefix of the attributes in which overlayfs keeps its own
// notes on the files of upper.
func (f flavour) privateXattrs() string {
	if f.userxattr {
		return "user.overlay."
	}
	return "trusted.overlay."
}
