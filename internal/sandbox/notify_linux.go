package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Question is struct seccomp_notif of linux/seccomp.h: a thread is about to make a
// system call.
type Question struct {
	ID     uint64
	TID    uint32 // in our pid namespace
	_      uint32
	Number int32
	Arch   uint32 // AUDIT_ARCH_*
	_      uint64 // instruction pointer
	Args   [6]uint64
}

// An answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	val   int64
	errno int32 // negative
	flags uint32
}

// A Server answers the questions of one listener, on a thread that does nothing else.
type Server struct {
	listener *os.File
	stop     *os.File // closed to end it
	wake     *os.File // its other end
	done     chan error
}

// Serve answers by decide, which returns 0 for a call that is to be made.
func Serve(listener *os.File, decide func(*Question) unix.Errno) (*Server, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{
		listener: listener, done: make(chan error, 1),
		wake: os.NewFile(uintptr(pipe[0]), "wake"), stop: os.NewFile(uintptr(pipe[1]), "stop"),
	}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		s.done <- s.loop(decide)
	}()
	return s, nil
}

func (s *Server) loop(decide func(*Question) unix.Errno) error {
	listener := s.listener.Fd()
	polled := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(s.wake.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(polled, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait for a question: %w", err)
		case polled[0].Revents&unix.POLLIN != 0:
			if err := answerOne(listener, decide); err != nil {
				return err
			}
		case polled[0].Revents != 0, polled[1].Revents != 0:
			return nil // nobody is left to ask, or we are to stop
		}
	}
}

// answerOne receives and answers. The asking thread may die at any time (ENOENT).
func answerOne(listener uintptr, decide func(*Question) unix.Errno) error {
	var q Question
	switch errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)); errno {
	case 0:
	case unix.EINTR, unix.ENOENT:
		return nil
	default:
		return fmt.Errorf("SECCOMP_IOCTL_NOTIF_RECV: %w", errno)
	}
	a := answer{id: q.ID}
	if errno := decide(&q); errno != 0 {
		a.errno = -int32(errno)
	} else {
		a.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	for {
		switch errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); errno {
		case unix.EINTR:
		case 0, unix.ENOENT, unix.EINPROGRESS:
			return nil
		default:
			return fmt.Errorf("SECCOMP_IOCTL_NOTIF_SEND: %w", errno)
		}
	}
}

// ioctl does not tell Go's scheduler of the call, which takes longer than the call:
// after poll(2) neither of them blocks (a question that was taken back is ENOENT).
func ioctl(fd, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, request, uintptr(arg))
	return errno
}

// Close ends the server. What still asks is answered ENOSYS by the kernel.
func (s *Server) Close() error {
	err := s.stop.Close()
	return errors.Join(err, <-s.done, s.wake.Close(), s.listener.Close())
}
