//go:build linux && amd64

package redirect

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A tracer stops threads at the calls that the filter names, and has a view answer or
// change these.
type tracer struct {
	*view
	threads map[int]*thread
	refused map[string]bool // paths that are closed to the user, where the command had something to change
	bug     error           // what should not have happened
}

// A thread is one thread of the command.
type thread struct {
	*tracer
	tid     int
	regs    unix.PtraceRegs // at the entry of the call
	room    uint64          // an address in its memory, of roomSize bytes that are ours
	wantsIt bool            // the call can not go on without that room
	leave   func()          // what is to be done at the call's exit
}

const (
	roomSize   = 2 * unix.PathMax
	socketRoom = unix.PathMax // where in it a socket's address has its place
)

const options = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL |
	unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

func ptrace(request, tid int, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// seize begins to trace a process of one thread.
func (t *tracer) seize(pid int) error {
	t.thread(pid)
	return ptrace(unix.PTRACE_SEIZE, pid, options)
}

func (t *tracer) thread(tid int) *thread {
	th := t.threads[tid]
	if th == nil {
		th = &thread{tracer: t, tid: tid}
		t.threads[tid] = th
	}
	return th
}

// tracees has wait4(2) tell of what this thread traces, however it was cloned (since
// Linux 4.7), and of none of its children that end with SIGCHLD, as all do that this
// program starts: those wait for others, who started them before the thread was ours,
// or whose thread has ended, which leaves its children to another one.
const tracees = unix.WCLONE | unix.WNOTHREAD

// trace follows all threads to their ends.
//
// Preconditions: the goroutine is locked to the thread that called seize.
func (t *tracer) trace() error {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, tracees, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD:
			return t.bug
		case err != nil:
			return fmt.Errorf("wait for the command: %w", err)
		case !status.Stopped():
			delete(t.threads, tid)
			continue
		}
		if err := t.thread(tid).stopped(status); err != nil && err != unix.ESRCH { // it may be killed at any time
			t.bug = errors.Join(t.bug, fmt.Errorf("trace thread %d: %w", tid, err))
			_ = unix.Kill(tid, unix.SIGKILL)
		}
	}
}

// stopped lets a thread go on; see ptrace(2) for the kinds of stops.
func (t *thread) stopped(status unix.WaitStatus) error {
	signal := status.StopSignal()
	switch event := int(status) >> 16; event {
	case unix.PTRACE_EVENT_SECCOMP:
		return t.enter()
	case unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK:
		child, err := unix.PtraceGetEventMsg(t.tid)
		if err != nil {
			return err
		}
		// It has the same memory, or a copy; and who shares it waits (vfork(2)). Unless
		// it was here first: then it may even have executed another program.
		if t.threads[int(child)] == nil {
			t.thread(int(child)).room = t.room
		}
		return t.resume(0)
	case unix.PTRACE_EVENT_EXEC:
		former, err := unix.PtraceGetEventMsg(t.tid)
		if err != nil {
			return err
		}
		if int(former) != t.tid {
			delete(t.threads, int(former))
		}
		t.room, t.leave = 0, nil
		return t.resume(0)
	case unix.PTRACE_EVENT_STOP:
		switch signal {
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // a group stop
			return ptrace(unix.PTRACE_LISTEN, t.tid, 0)
		}
		return t.resume(0)
	case 0:
		if signal == unix.SIGTRAP|0x80 {
			return t.exit()
		}
		return t.resume(int(signal))
	}
	return t.resume(0)
}

// resume lets the thread go on, to the exit of its call if that matters.
func (t *thread) resume(signal int) error {
	if t.leave != nil {
		return unix.PtraceSyscall(t.tid, signal)
	}
	return unix.PtraceCont(t.tid, signal)
}

// enter decides what becomes of a call.
func (t *thread) enter() error {
	if err := unix.PtraceGetRegs(t.tid, &t.regs); err != nil {
		return err
	}
	t.wantsIt, t.leave = false, nil
	handler := traced[t.regs.Orig_rax]
	if handler == nil {
		return fmt.Errorf("call %d is stopped and has no handler", t.regs.Orig_rax)
	}
	out := handler(t)
	if t.wantsIt {
		return t.makeRoom()
	}
	regs := t.regs
	switch {
	case out.err != nil:
		if errnoOf(out.err) == unix.EACCES && t.changes() {
			t.refused[t.closed] = true
		}
		regs.Orig_rax, regs.Rax = ^uint64(0), uint64(-int64(errnoOf(out.err)))
	case out.answered:
		regs.Orig_rax, regs.Rax = ^uint64(0), uint64(out.value)
	case out.regs != nil:
		regs = *out.regs
		t.leave = func() { t.restore(out.leave) }
	}
	if regs != t.regs {
		if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
			return err
		}
	}
	return t.resume(0)
}

// An outcome is what becomes of a call: by itself the kernel does it as it is.
type outcome struct {
	err      error // it fails
	answered bool  // it is done, and returns the value
	value    int64

	regs  *unix.PtraceRegs // the kernel does this instead
	leave func(result int64)
}

var pass = outcome{}

func fail(err error) outcome     { return outcome{err: err} }
func answer(value int64) outcome { return outcome{answered: true, value: value} }
func result(err error) outcome   { return outcome{answered: true, err: err} }
func errnoOf(err error) unix.Errno {
	var e unix.Errno
	if errors.As(errno(err), &e) {
		return e
	}
	return unix.EIO
}

// exit ends a call that was changed.
func (t *thread) exit() error {
	if leave := t.leave; leave != nil {
		t.leave = nil
		leave()
	}
	return t.resume(0)
}

// restore gives the registers back that the call had, all but its result.
func (t *thread) restore(leave func(int64)) {
	var now unix.PtraceRegs
	if unix.PtraceGetRegs(t.tid, &now) != nil {
		return // killed
	}
	was := &t.regs
	now.Rdi, now.Rsi, now.Rdx, now.R10, now.R8, now.R9, now.Orig_rax = was.Rdi, was.Rsi, was.Rdx, was.R10, was.R8, was.R9, was.Orig_rax
	_ = unix.PtraceSetRegs(t.tid, &now) // killed
	if leave != nil {
		leave(int64(now.Rax))
	}
}

// makeRoom has the thread map memory for us, and then make its call again. The stack
// has no room that is surely free: those of Go are parts of its heap.
func (t *thread) makeRoom() error {
	was := t.regs
	regs := was
	regs.Orig_rax, regs.Rax = unix.SYS_MMAP, unix.SYS_MMAP
	regs.Rdi, regs.Rsi, regs.Rdx, regs.R10 = 0, roomSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS
	regs.R8, regs.R9 = ^uint64(0), 0
	if err := unix.PtraceSetRegs(t.tid, &regs); err != nil {
		return err
	}
	t.leave = func() {
		var now unix.PtraceRegs
		if unix.PtraceGetRegs(t.tid, &now) != nil {
			return // killed
		}
		again := was
		if address := int64(now.Rax); address < 0 && address > -4096 {
			again.Rax = ^uint64(unix.ENOMEM) + 1
		} else {
			t.room = now.Rax
			again.Rip -= 2 // the instruction "syscall"
			again.Rax = was.Orig_rax
		}
		_ = unix.PtraceSetRegs(t.tid, &again) // killed
	}
	return t.resume(0)
}

// arg is the address of an argument's register.
func arg(r *unix.PtraceRegs, n int) *uint64 {
	return [...]*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8, &r.R9}[n]
}

func (t *thread) arg(n int) uint64 { return *arg(&t.regs, n) }
func (t *thread) fd(n int) int     { return int(int32(t.arg(n))) }

// with has the kernel do the call with another path as that argument.
func (t *thread) with(n int, host string) outcome {
	if t.room == 0 {
		t.wantsIt = true
		return pass
	}
	if len(host) >= unix.PathMax {
		return fail(unix.ENAMETOOLONG)
	}
	if err := t.poke(t.room, append([]byte(host), 0)); err != nil {
		return fail(err)
	}
	regs := t.regs
	*arg(&regs, n) = t.room
	return outcome{regs: &regs}
}
