package overlay

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An fsContext is a file system to be made (fsopen(2)).
type fsContext struct {
	fstype  string
	options []string // "key=value" or "flag"
	attr    uint64   // MOUNT_ATTR_*
}

// newMount makes a file system and returns a mount of it that is attached
// nowhere, and ends with its last descriptor.
func newMount(c fsContext) (*os.File, error) {
	fs, err := unix.Fsopen(c.fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", c.fstype, err)
	}
	defer unix.Close(fs)
	for _, option := range append([]string{"source=sandbox-install"}, c.options...) {
		key, value, ok := strings.Cut(option, "=")
		if ok {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, kernelError(fs, key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, kernelError(fs, c.fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(c.attr))
	if err != nil {
		return nil, kernelError(fs, "fsmount", err)
	}
	return os.NewFile(uintptr(fd), c.fstype), nil
}

// kernelError adds the sentences that the kernel left in the context, one a read,
// each after a letter for its severity.
func kernelError(fs int, what string, err error) error {
	var said []string
	b := make([]byte, 1024)
	for {
		n, readErr := unix.Read(fs, b)
		if readErr != nil || n <= 0 { // ENODATA
			break
		}
		_, text, _ := strings.Cut(strings.TrimSpace(string(b[:n])), " ")
		said = append(said, text)
	}
	if said == nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %s", what, err, strings.Join(said, "; "))
}

// procFD is a path to what a descriptor is open on, without any byte that a mount
// option would have to escape.
func procFD(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// cloneMount returns a detached mount of the same as name leads to, with attr added.
// It is private: else what is later mounted below it would appear on the host too.
func cloneMount(name string, flags uint, attr uint64) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_NO_AUTOMOUNT|flags)
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", name, err)
	}
	set := unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}
	if attr&unix.MOUNT_ATTR__ATIME != 0 {
		set.Attr_clr = unix.MOUNT_ATTR__ATIME
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|flags&unix.AT_RECURSIVE, &set); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mount_setattr %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
