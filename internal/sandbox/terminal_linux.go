package sandbox

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The command is a process group of its own, so that its kill(0, ...) does not
// reach the supervisor's. On a terminal it is therefore a job, and the supervisor
// is to it what a shell is: it gives it the terminal, takes the terminal back,
// and stops itself when the command was stopped, so that the shell above sees it.

// A terminal is the controlling one. A nil *terminal is none.
type terminal struct {
	file  *os.File
	given bool // the command has it
}

// findTerminal returns the controlling terminal, be it stdin or not.
func findTerminal(stdin *os.File) *terminal {
	if isTerminal(stdin) {
		if fd, err := unix.FcntlInt(stdin.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			return &terminal{file: os.NewFile(uintptr(fd), stdin.Name())}
		}
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return &terminal{file: os.NewFile(uintptr(fd), "/dev/tty")}
}

func (t *terminal) close() {
	if t != nil {
		_ = t.file.Close() // nothing was written
	}
}

// foreground returns the foreground process group of the caller's controlling
// terminal f; an error if f is something else (tty_ioctl(2)).
func foreground(f *os.File) (int, error) {
	return unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
}

// isTerminal reports whether f is the caller's controlling terminal.
func isTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := foreground(f)
	return err == nil
}

// isOurs reports whether the supervisor's group is in the foreground.
func (t *terminal) isOurs() bool { return t.isWith(unix.Getpgrp()) }

// isWith reports whether a group is in the foreground.
func (t *terminal) isWith(pgrp int) bool {
	if t == nil {
		return false
	}
	found, err := foreground(t.file)
	return err == nil && found == pgrp
}

// give puts the command's group into the foreground.
func (t *terminal) give(pgrp int) {
	t.given = true
	t.set(pgrp)
}

// take puts the supervisor into the foreground again, if the command was there:
// else it is our shell that gave the terminal to somebody else.
func (t *terminal) take() {
	if t != nil && t.given {
		t.given = false
		t.set(unix.Getpgrp())
	}
}

// set changes the foreground group. That the group is gone by now is no error.
//
// Preconditions: the goroutine is locked to its thread.
func (t *terminal) set(pgrp int) {
	// From the background the call is answered by SIGTTOU, unless it is blocked.
	var ttou, old unix.Sigset_t
	ttou.Val[0] = 1 << (uint(syscall.SIGTTOU) - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &ttou, &old) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }()
	}
	_ = unix.IoctlSetPointerInt(int(t.file.Fd()), unix.TIOCSPGRP, pgrp)
}

// stopped follows the command, which sig stopped.
func (s *supervisor) stopped(sig syscall.Signal) {
	wantsTerminal := sig == unix.SIGTTIN || sig == unix.SIGTTOU
	switch {
	case s.tty == nil: // whoever stopped it knows
	case wantsTerminal && (s.tty.isOurs() || s.tty.isWith(s.command)): // by now it may have what it wanted
		s.resume()
	case orphaned() && wantsTerminal:
		// The terminal is gone for good: do what the kernel does with stopped groups
		// whose shell is gone (setpgid(2)).
		s.signal(unix.SIGHUP)
		s.signal(unix.SIGCONT)
	case orphaned(): // nobody could continue us: the kernel would not have stopped us
		s.resume()
	default:
		s.tty.take()
		_ = unix.Kill(0, unix.SIGSTOP)
	}
}

// orphaned reports whether no shell above our process group, in the same session,
// could continue it.
func orphaned() bool {
	session, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	for pid := unix.Getppid(); ; {
		group, err := unix.Getpgid(pid)
		if err != nil {
			return true
		}
		if group != unix.Getpgrp() {
			above, err := unix.Getsid(pid)
			return err != nil || above != session
		}
		if pid = parentOf(pid); pid == 0 {
			return true
		}
	}
}

// parentOf returns a process's parent, or 0 (proc_pid_stat(5)).
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var state string
	var parent int
	_, after, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	if _, err := fmt.Sscan(after, &state, &parent); err != nil {
		return 0
	}
	return parent
}

// resume continues the command, in the foreground if that is where we are.
func (s *supervisor) resume() {
	if s.tty.isOurs() && s.command != 0 {
		s.tty.give(s.command)
	}
	s.signal(unix.SIGCONT)
}
