//go:build linux && amd64

package redirect

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// answers are calls that the filter itself answers, most with an error: those that
// change files by ways that no path tells, or the machine, and newer spellings of others,
// without which programs do. (What changes the machine by another capability than
// CAP_SYS_ADMIN, [sandbox.Plan] takes from the command.) Who asks for his ids is told that he is root.
var answers = map[uint64]unix.Errno{
	unix.SYS_GETUID: 0, unix.SYS_GETEUID: 0, unix.SYS_GETGID: 0, unix.SYS_GETEGID: 0,

	unix.SYS_CHROOT: unix.EPERM, unix.SYS_PIVOT_ROOT: unix.EPERM, unix.SYS_SETNS: unix.EPERM,
	unix.SYS_MOUNT: unix.EPERM, unix.SYS_UMOUNT2: unix.EPERM, unix.SYS_OPEN_TREE: unix.EPERM, unix.SYS_MOVE_MOUNT: unix.EPERM,
	unix.SYS_FSOPEN: unix.EPERM, unix.SYS_FSPICK: unix.EPERM, unix.SYS_MOUNT_SETATTR: unix.EPERM, unix.SYS_OPEN_TREE_ATTR: unix.EPERM,
	unix.SYS_OPEN_BY_HANDLE_AT: unix.EPERM, unix.SYS_FANOTIFY_MARK: unix.EPERM, unix.SYS_ACCT: unix.EPERM,
	unix.SYS_SWAPON: unix.EPERM, unix.SYS_SWAPOFF: unix.EPERM, unix.SYS_QUOTACTL: unix.EPERM, unix.SYS_QUOTACTL_FD: unix.EPERM,
	unix.SYS_SETGROUPS: unix.EPERM, unix.SYS_BPF: unix.EPERM, unix.SYS_FSMOUNT: unix.EPERM, unix.SYS_NFSSERVCTL: unix.EPERM,
	unix.SYS_SETHOSTNAME: unix.EPERM, unix.SYS_SETDOMAINNAME: unix.EPERM, unix.SYS_VHANGUP: unix.EPERM,

	unix.SYS_NAME_TO_HANDLE_AT: unix.EOPNOTSUPP,

	unix.SYS_IO_URING_SETUP: unix.ENOSYS, unix.SYS_IO_URING_ENTER: unix.ENOSYS, unix.SYS_IO_URING_REGISTER: unix.ENOSYS,
	unix.SYS_USELIB:     unix.ENOSYS,
	unix.SYS_SETXATTRAT: unix.ENOSYS, unix.SYS_GETXATTRAT: unix.ENOSYS, unix.SYS_LISTXATTRAT: unix.ENOSYS, unix.SYS_REMOVEXATTRAT: unix.ENOSYS,
	sysFileGetattr: unix.ENOSYS, sysFileSetattr: unix.ENOSYS,
}

// Calls of Linux 6.17, the last that are known here. The numbers of x32 are beyond.
const sysFileGetattr, sysFileSetattr, sysLast = 468, 469, 469

// Offsets in struct seccomp_data of linux/seccomp.h.
const dataNumber, dataArch, dataArg1 = 0, 4, 24

// filter is a program for seccomp(2): it has the tracer asked about the calls that it
// has handlers for. What is not known, or not of this architecture, is ENOSYS.
func filter() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	fail := func(e unix.Errno) unix.SockFilter { return ret(unix.SECCOMP_RET_ERRNO | uint32(e)) }

	program := []unix.SockFilter{
		load(dataArch), jump(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, 1, 0), fail(unix.ENOSYS),
		load(dataNumber), jump(unix.BPF_JGT, sysLast, 0, 1), fail(unix.ENOSYS),
	}
	for _, number := range slices.Sorted(maps.Keys(answers)) {
		program = append(program, jump(unix.BPF_JEQ, uint32(number), 0, 1), fail(answers[number]))
	}
	for _, number := range slices.Sorted(maps.Keys(traced)) {
		if number != unix.SYS_IOCTL {
			program = append(program, jump(unix.BPF_JEQ, uint32(number), 0, 1), ret(unix.SECCOMP_RET_TRACE))
		}
	}
	return append(program,
		jump(unix.BPF_JEQ, unix.SYS_IOCTL, 0, 4), load(dataArg1),
		jump(unix.BPF_JEQ, unix.FS_IOC_SETFLAGS, 1, 0), jump(unix.BPF_JEQ, fsIocFsSetXattr, 0, 1), ret(unix.SECCOMP_RET_TRACE),
		ret(unix.SECCOMP_RET_ALLOW))
}
