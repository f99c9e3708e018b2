package unpack

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// inMemory gives root's tests a directory for temporary files that waits for no disk: a
// tmpfs of their own, if this system's keeps user attributes and inode flags as a disk's
// file system does (since Linux 6.6). Call forget when they are done.
//
// Preconditions: the mount namespace is our own, see need.OwnMounts.
func inMemory() (forget func()) {
	nothing := func() {}
	if os.Geteuid() != 0 {
		return nothing
	}
	dir, err := os.MkdirTemp("", "memory")
	if err != nil {
		panic(err)
	}
	remove := func() {
		if err := os.Remove(dir); err != nil {
			panic(err)
		}
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return remove
	}
	unmount := func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			panic(err)
		}
		remove()
	}
	if err := keepsAll(filepath.Join(dir, "probe")); err != nil {
		unmount()
		return nothing
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		panic(err)
	}
	return unmount
}

// keepsAll makes a file with all that a disk's file system keeps, and removes it.
func keepsAll(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if err := unix.Fsetxattr(int(f.Fd()), "user.probe", []byte("x"), 0); err != nil {
		return err
	}
	for _, flags := range []int{unix.STATX_ATTR_IMMUTABLE, 0} {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
			return fmt.Errorf("flags %#x: %w", flags, err)
		}
	}
	return os.Remove(name)
}
