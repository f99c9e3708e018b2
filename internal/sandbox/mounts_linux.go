package sandbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// makePrivate keeps what is mounted in this namespace from appearing elsewhere.
//
// Preconditions: "/" is a mount point.
func makePrivate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &StepError{"make the mount namespace private", err}
	}
	return nil
}

// buildRoot attaches the mounts in this process's private mount namespace and
// returns the root's descriptor. The root comes to lie on dir.
func (o *order) buildRoot(dir string, mounts []Mount, fds []int) (root int, err error) {
	if len(mounts) == 0 || mounts[0].Target != "." || mounts[0].File < 0 {
		return -1, &StepError{"read the plan", errors.New("the first mount is not the root")}
	}
	root = fds[mounts[0].File]
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return -1, &StepError{"attach the root", err}
	}
	for _, m := range mounts[1:] {
		if o.Plan.Container && m.File < 0 { // these are libcontainer's
			continue
		}
		fd := -1
		if m.File >= 0 {
			fd = fds[m.File]
		}
		if err := m.attach(root, fd); err != nil {
			return -1, &StepError{"mount on /" + m.Target, err}
		}
	}
	return root, nil
}

// attach carries out one mount below root; fd is its File.
func (m *Mount) attach(root, fd int) (err error) {
	switch {
	case m.File >= 0:
	case m.Type != "":
		fd, err = newMount(m.Type)
	default:
		fd, err = readOnlyClone(root, m.Target)
		if err == unix.ENOENT {
			return nil
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if m.Type == "proc" {
		err = keepBare(root, m.Target)
	}
	if err == nil {
		err = moveMount(fd, root, m.Target)
	}
	if err == unix.ENOENT { // what was mounted there is gone, and so is its mount point
		return nil
	}
	return err
}

// keepBare mounts a second proc below where one is to be, out of sight. The kernel lets a
// user namespace mount its own only where there is one of which nothing is covered
// (mount_too_revealing in fs/namespace.c); so another sandbox can be made inside. Who
// could uncover it could as well uncover what the first one covers.
func keepBare(root int, target string) error {
	for _, below := range []struct{ fstype, target string }{{"tmpfs", target}, {"proc", target + "/bare"}} {
		fd, err := newMount(below.fstype)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if below.fstype == "tmpfs" {
			if err := unix.Mkdirat(fd, "bare", 0o555); err != nil {
				return err
			}
		}
		if err := moveMount(fd, root, below.target); err != nil {
			return err
		}
	}
	return nil
}

// moveMount attaches a mount at target, on top of what is mounted there.
func moveMount(fd, root int, target string) error {
	at, err := openBelow(root, target)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// openBelow opens target, which mounts may lie on, but no symlink may lead to.
func openBelow(root int, target string) (int, error) {
	return unix.Openat2(root, target, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
}

// newMount makes a file system that belongs to this process's namespaces.
func newMount(fstype string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", fstype); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// readOnlyClone returns a read-only bind mount of what is at target.
func readOnlyClone(root int, target string) (int, error) {
	fd, err := unix.OpenTree(root, target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// moveInto makes root, which lies over "/", the root of this process and of all
// that follow, and lets go of the host's.
func moveInto(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return &StepError{"enter the new root", err}
	}
	unix.Close(root)
	switch err := unix.PivotRoot(".", "."); err { // the old root comes to lie over the new one: pivot_root(2)
	case nil:
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return &StepError{"let go of the old root", err}
		}
	case unix.EINVAL:
		// Our "/" is the initial ramfs. It stays where only a deliberate escape from
		// a chroot finds it.
		if err := unix.Chroot("."); err != nil {
			return &StepError{"change the root", err}
		}
	default:
		return &StepError{"pivot into the new root", err}
	}
	return os.Chdir("/")
}
