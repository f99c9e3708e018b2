//go:build linux && amd64

package redirect

import (
	"golang.org/x/sys/unix"
)

// noFD says that a call has no directory descriptor: its path is relative to the
// working directory.
const noFD = -1

// traced are the calls that the tracer is asked about. The numbers given to handlers
// are those of arguments.
var traced map[uint64]func(*thread) outcome

func init() { // and so no cycle: the filter is made of it, and enter looks into it
	traced = map[uint64]func(*thread) outcome{
		unix.SYS_OPEN:    func(t *thread) outcome { return t.open(noFD, 0, t.arg(1)) },
		unix.SYS_CREAT:   func(t *thread) outcome { return t.open(noFD, 0, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC) },
		unix.SYS_OPENAT:  func(t *thread) outcome { return t.open(0, 1, t.arg(2)) },
		unix.SYS_OPENAT2: (*thread).openat2,

		unix.SYS_STAT:       func(t *thread) outcome { return t.stat(noFD, 0, 1, 0) },
		unix.SYS_LSTAT:      func(t *thread) outcome { return t.stat(noFD, 0, 1, unix.AT_SYMLINK_NOFOLLOW) },
		unix.SYS_NEWFSTATAT: func(t *thread) outcome { return t.stat(0, 1, 2, t.arg(3)) },
		unix.SYS_FSTAT:      func(t *thread) outcome { return t.fstat(t.fd(0), t.arg(1)) },
		unix.SYS_STATX:      (*thread).statx,

		unix.SYS_ACCESS:     func(t *thread) outcome { return t.access(noFD, 0, 1, 0) },
		unix.SYS_FACCESSAT:  func(t *thread) outcome { return t.access(0, 1, 2, 0) },
		unix.SYS_FACCESSAT2: func(t *thread) outcome { return t.access(0, 1, 2, t.arg(3)) },
		unix.SYS_READLINK:   func(t *thread) outcome { return t.readlink(noFD, 0) },
		unix.SYS_READLINKAT: func(t *thread) outcome { return t.readlink(0, 1) },

		unix.SYS_STATFS:            func(t *thread) outcome { return t.look(noFD, 0, true) },
		unix.SYS_GETXATTR:          func(t *thread) outcome { return t.look(noFD, 0, true) },
		unix.SYS_LGETXATTR:         func(t *thread) outcome { return t.look(noFD, 0, false) },
		unix.SYS_LISTXATTR:         func(t *thread) outcome { return t.look(noFD, 0, true) },
		unix.SYS_LLISTXATTR:        func(t *thread) outcome { return t.look(noFD, 0, false) },
		unix.SYS_INOTIFY_ADD_WATCH: func(t *thread) outcome { return t.look(noFD, 1, true) },
		unix.SYS_CHDIR:             func(t *thread) outcome { return t.look(noFD, 0, true) },
		unix.SYS_GETCWD:            (*thread).getcwd,
		unix.SYS_EXECVE:            func(t *thread) outcome { return t.exec(noFD, 0, 0) },
		unix.SYS_EXECVEAT:          func(t *thread) outcome { return t.exec(0, 1, t.arg(4)) },

		unix.SYS_MKDIR:     func(t *thread) outcome { return t.mkdir(noFD, 0, t.arg(1)) },
		unix.SYS_MKDIRAT:   func(t *thread) outcome { return t.mkdir(0, 1, t.arg(2)) },
		unix.SYS_MKNOD:     func(t *thread) outcome { return t.mknod(noFD, 0, t.arg(1), t.arg(2)) },
		unix.SYS_MKNODAT:   func(t *thread) outcome { return t.mknod(0, 1, t.arg(2), t.arg(3)) },
		unix.SYS_SYMLINK:   func(t *thread) outcome { return t.symlink(0, noFD, 1) },
		unix.SYS_SYMLINKAT: func(t *thread) outcome { return t.symlink(0, 1, 2) },
		unix.SYS_LINK:      func(t *thread) outcome { return t.link([4]int{noFD, 0, noFD, 1}, 0) },
		unix.SYS_LINKAT:    func(t *thread) outcome { return t.link([4]int{0, 1, 2, 3}, t.arg(4)) },
		unix.SYS_UNLINK:    func(t *thread) outcome { return t.unlink(noFD, 0, 0) },
		unix.SYS_RMDIR:     func(t *thread) outcome { return t.unlink(noFD, 0, unix.AT_REMOVEDIR) },
		unix.SYS_UNLINKAT:  func(t *thread) outcome { return t.unlink(0, 1, t.arg(2)) },
		unix.SYS_RENAME:    func(t *thread) outcome { return t.rename([4]int{noFD, 0, noFD, 1}, 0) },
		unix.SYS_RENAMEAT:  func(t *thread) outcome { return t.rename([4]int{0, 1, 2, 3}, 0) },
		unix.SYS_RENAMEAT2: func(t *thread) outcome { return t.rename([4]int{0, 1, 2, 3}, t.arg(4)) },

		unix.SYS_CHMOD:     func(t *thread) outcome { return t.chmod(noFD, 0, 1, 0) },
		unix.SYS_FCHMOD:    func(t *thread) outcome { return t.chmod(0, noFD, 1, unix.AT_EMPTY_PATH) },
		unix.SYS_FCHMODAT:  func(t *thread) outcome { return t.chmod(0, 1, 2, 0) },
		unix.SYS_FCHMODAT2: func(t *thread) outcome { return t.chmod(0, 1, 2, t.arg(3)) },
		unix.SYS_CHOWN:     func(t *thread) outcome { return t.chown(noFD, 0, 1, 0) },
		unix.SYS_LCHOWN:    func(t *thread) outcome { return t.chown(noFD, 0, 1, unix.AT_SYMLINK_NOFOLLOW) },
		unix.SYS_FCHOWN:    func(t *thread) outcome { return t.chown(0, noFD, 1, unix.AT_EMPTY_PATH) },
		unix.SYS_FCHOWNAT:  func(t *thread) outcome { return t.chown(0, 1, 2, t.arg(4)) },
		unix.SYS_UTIME:     func(t *thread) outcome { return t.utimens(noFD, 0, 1, 0, seconds) },
		unix.SYS_UTIMES:    func(t *thread) outcome { return t.utimens(noFD, 0, 1, 0, microseconds) },
		unix.SYS_FUTIMESAT: func(t *thread) outcome { return t.utimens(0, 1, 2, 0, microseconds) },
		unix.SYS_UTIMENSAT: func(t *thread) outcome { return t.utimens(0, 1, 2, t.arg(3), nanoseconds) },
		unix.SYS_TRUNCATE:  (*thread).truncate,

		unix.SYS_SETXATTR:     func(t *thread) outcome { return t.setxattr(noFD, 0, 0) },
		unix.SYS_LSETXATTR:    func(t *thread) outcome { return t.setxattr(noFD, 0, unix.AT_SYMLINK_NOFOLLOW) },
		unix.SYS_FSETXATTR:    func(t *thread) outcome { return t.setxattr(0, noFD, unix.AT_EMPTY_PATH) },
		unix.SYS_REMOVEXATTR:  func(t *thread) outcome { return t.removexattr(noFD, 0, 0) },
		unix.SYS_LREMOVEXATTR: func(t *thread) outcome { return t.removexattr(noFD, 0, unix.AT_SYMLINK_NOFOLLOW) },
		unix.SYS_FREMOVEXATTR: func(t *thread) outcome { return t.removexattr(0, noFD, unix.AT_EMPTY_PATH) },
		unix.SYS_IOCTL:        (*thread).ioctl,

		unix.SYS_BIND:    func(t *thread) outcome { return t.socket(true) },
		unix.SYS_CONNECT: func(t *thread) outcome { return t.socket(false) },

		unix.SYS_GETRESUID: (*thread).getres,
		unix.SYS_GETRESGID: (*thread).getres,
		unix.SYS_SETUID:    func(t *thread) outcome { return t.become(1) },
		unix.SYS_SETGID:    func(t *thread) outcome { return t.become(1) },
		unix.SYS_SETFSUID:  func(t *thread) outcome { return answer(0) },
		unix.SYS_SETFSGID:  func(t *thread) outcome { return answer(0) },
		unix.SYS_SETREUID:  func(t *thread) outcome { return t.become(2) },
		unix.SYS_SETREGID:  func(t *thread) outcome { return t.become(2) },
		unix.SYS_SETRESUID: func(t *thread) outcome { return t.become(3) },
		unix.SYS_SETRESGID: func(t *thread) outcome { return t.become(3) },
		unix.SYS_UNSHARE:   (*thread).unshare,
	}
}

// looking are those that only look.
var looking = map[uint64]bool{
	unix.SYS_STAT: true, unix.SYS_LSTAT: true, unix.SYS_NEWFSTATAT: true, unix.SYS_FSTAT: true, unix.SYS_STATX: true,
	unix.SYS_ACCESS: true, unix.SYS_FACCESSAT: true, unix.SYS_FACCESSAT2: true, unix.SYS_READLINK: true, unix.SYS_READLINKAT: true,
	unix.SYS_STATFS: true, unix.SYS_GETXATTR: true, unix.SYS_LGETXATTR: true, unix.SYS_LISTXATTR: true, unix.SYS_LLISTXATTR: true,
	unix.SYS_INOTIFY_ADD_WATCH: true, unix.SYS_CHDIR: true, unix.SYS_GETCWD: true, unix.SYS_EXECVE: true, unix.SYS_EXECVEAT: true,
	unix.SYS_CONNECT: true,
}

// changes reports whether the call would change something.
func (t *thread) changes() bool {
	const writing = unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC
	switch number := t.regs.Orig_rax; number {
	case unix.SYS_OPEN:
		return t.arg(1)&writing != 0
	case unix.SYS_OPENAT:
		return t.arg(2)&writing != 0
	default:
		return !looking[number]
	}
}

// getres tells who asks for his ids that all are root's.
func (t *thread) getres() outcome {
	for n := range 3 {
		if err := t.poke(t.arg(n), make([]byte, 4)); err != nil {
			return fail(err)
		}
	}
	return answer(0)
}

// become lets nobody be another than root.
func (t *thread) become(ids int) outcome {
	for n := range ids {
		if id := int32(t.arg(n)); id != 0 && id != -1 {
			return fail(unix.EPERM)
		}
	}
	return answer(0)
}

// unshare refuses namespaces in which paths or ids could mean something else.
func (t *thread) unshare() outcome {
	if t.arg(0)&(unix.CLONE_NEWNS|unix.CLONE_NEWUSER|unix.CLONE_NEWPID) != 0 {
		return fail(unix.EPERM)
	}
	return pass
}
