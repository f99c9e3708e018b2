package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// scopeSockets keeps this thread, and what it executes, from connecting to the
// abstract unix sockets of processes outside (landlock(7)): they belong to the
// network namespace and have no path that a mount could cover. A kernel older than
// Linux 6.12, or one with Landlock off, can not.
//
// Preconditions: the goroutine is locked to its thread, which has CAP_SYS_ADMIN.
func scopeSockets() error {
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET}
	// The size of the structure in 6.12, not of what came after.
	size := unsafe.Offsetof(attr.Quiet_access_fs)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	switch errno {
	case 0:
	case unix.ENOSYS, unix.EOPNOTSUPP, unix.E2BIG, unix.EINVAL:
		return nil
	default:
		return errno
	}
	defer unix.Close(int(fd))
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
