package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A call is a system call that is answered by a witness. Its fields number the
// arguments; -1 where there is none.
type call struct {
	nr               uint32
	dir, path, flags int
	mode             int // of mknod(2); the device follows
	owner            int // of chown(2); the group follows
	nofollow         bool
}

func (c *call) isMknod() bool { return c.mode >= 0 }

// calls are those of all architectures; oldCalls those of this one.
var calls = append([]call{
	{nr: unix.SYS_MKNODAT, dir: 0, path: 1, flags: -1, mode: 2, owner: -1},
	{nr: unix.SYS_FCHOWNAT, dir: 0, path: 1, flags: 4, mode: -1, owner: 2},
	{nr: unix.SYS_FCHOWN, dir: 0, path: -1, flags: -1, mode: -1, owner: 1},
}, oldCalls...)

func findCall(nr int32) *call {
	for i := range calls {
		if calls[i].nr == uint32(nr) {
			return &calls[i]
		}
	}
	return nil
}

// auditArch is this architecture's name in a filter; 0 where we do not know it.
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64}[runtime.GOARCH]

// Offsets in struct seccomp_data (seccomp(2)). Of an argument its lower half is
// looked at, in little-endian order, as all of auditArch have it.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// filter is the program that asks the witness about devices, and owners other than
// those below stranger, and lets everything else pass. It is plain enough to need
// no compiler, and so no C.
func filter(stranger uint32) []unix.SockFilter {
	const load, and, equal, atLeast, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_ALU | unix.BPF_AND | unix.BPF_K,
		unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	arg := func(n int) uint32 { return uint32(dataArgs + 8*n) }
	allow, ask := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_USER_NOTIF}
	program := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: equal, K: auditArch, Jt: 1},
		allow,
	}
	for _, c := range calls {
		var block []unix.SockFilter
		if c.isMknod() {
			block = []unix.SockFilter{
				{Code: load, K: arg(c.mode)},
				{Code: and, K: unix.S_IFMT},
				{Code: equal, K: unix.S_IFCHR, Jt: 2},
				{Code: equal, K: unix.S_IFBLK, Jt: 1},
				allow,
				ask,
			}
		} else {
			block = []unix.SockFilter{
				{Code: load, K: arg(c.owner)},
				{Code: equal, K: unchanged, Jt: 1},
				{Code: atLeast, K: stranger, Jt: 4},
				{Code: load, K: arg(c.owner + 1)},
				{Code: equal, K: unchanged, Jt: 1},
				{Code: atLeast, K: stranger, Jt: 1},
				allow,
				ask,
			}
		}
		program = append(program, unix.SockFilter{Code: load, K: dataNr}, unix.SockFilter{Code: equal, K: c.nr, Jf: uint8(len(block))})
		program = append(program, block...)
	}
	return append(program, allow)
}

// listen puts this thread, and what it executes, under a filter, and returns the
// descriptor that the filter's questions are read from.
//
// Preconditions: the goroutine is locked to its thread, which has CAP_SYS_ADMIN:
// else set-id programs would have to be given up (seccomp(2)).
func listen(program []unix.SockFilter) (int, error) {
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	for {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
		switch {
		case errno == 0:
			unix.CloseOnExec(int(fd))
			return int(fd), nil
		case errno == unix.EINVAL && flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0: // before Linux 5.19
			flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		default:
			return -1, errno
		}
	}
}

// A notification is struct seccomp_notif, a response struct seccomp_notif_resp
// (seccomp_unotify(2)).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// valid reports whether the caller still waits: what was read of its number in /proc
// before was its own.
func (n *notification) valid(listener int) bool {
	id := n.id
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_ID_VALID, uintptr(unsafe.Pointer(&id)))
	return errno == 0
}

// text reads a string of the caller's memory, a page at a time: the next may be no
// memory.
func (n *notification) text(proc int, addr uint64) (string, error) {
	fd, err := unix.Openat(proc, fmt.Sprintf("%d/mem", n.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 4096)
	for len(text) < unix.PathMax {
		at := addr + uint64(len(text))
		k, err := unix.Pread(fd, buf[:4096-at%4096], int64(at))
		if err != nil || k == 0 {
			return "", unix.EFAULT
		}
		if i := bytes.IndexByte(buf[:k], 0); i >= 0 {
			return string(append(text, buf[:i]...)), nil
		}
		text = append(text, buf[:k]...)
	}
	return "", unix.ENAMETOOLONG
}

// serve answers until nobody is left who could ask.
//
// Preconditions: the goroutine is locked to its thread, which shares its root and
// mask with no other.
func (w *witness) serve() {
	for {
		poll := []unix.PollFd{{Fd: int32(w.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 { // POLLHUP
			return
		}
		var n notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno != 0 { // ENOENT: who asked is gone
			continue
		}
		if w.watch != nil {
			w.watch.Saw(&capture.SystemCall{Thread: n.pid, Arch: n.arch, Number: n.nr, Args: n.args})
		}
		r := response{id: n.id}
		switch err := w.answer(&n); {
		case err == errContinue:
			r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		case err != nil:
			answer := unix.EPERM
			_ = errors.As(err, &answer)
			r.err = -int32(answer)
		}
		// ENOENT: who asked is gone.
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(w.listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

// confine puts this thread under a filter and starts the witness who answers it.
func (w *witness) confine() (err error) {
	if auditArch == 0 {
		return unix.ENOSYS
	}
	if w.proc, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if w.root, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	program := filter(w.stranger)
	if w.watch != nil { // whose filter asks about all of these calls, too
		program = w.watch.instructions()
	}
	if w.listener, err = listen(program); err != nil {
		return err
	}
	ready := make(chan error)
	go func() {
		defer close(w.ended)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		ready <- err
		if err == nil {
			w.serve()
		}
	}()
	return <-ready
}
