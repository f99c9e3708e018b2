package sandbox

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A report is what init tells the supervisor, one packet each. Gob, not JSON:
// names and command lines may hold any byte.
type report struct {
	Kind     reportKind
	Step     string        // failed: what was tried
	Errno    syscall.Errno // failed: what the kernel answered, if it did
	Text     string        // failed: the error's sentence
	Signal   syscall.Signal
	Code     int
	PID      int // started, where no translation is needed
	Outlived []Process

	pid  int      // started: the command's, as the supervisor's pid namespace numbers it
	file *os.File // filtered: the listener
}

type reportKind int

const (
	reportFailed     reportKind = iota + 1 // the sandbox could not be built
	reportExecFailed                       // the command could not be started
	reportFiltered                         // the filters are in place
	reportStarted                          // the command runs
	reportStopped                          // it was stopped by Signal
	reportExited                           // it has ended with Code
	reportEmpty                            // nothing runs any more; Outlived had to be stopped
)

// maxReport bounds a packet well below the default send buffer of a socket.
const maxReport = 64 << 10

// send writes r. With a pid, the kernel translates it into the receiver's pid
// namespace on the way (unix(7), SCM_CREDENTIALS).
func (r *report) send(socket, pid int) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r); err != nil {
		return err
	}
	var rights []byte
	if pid != 0 {
		rights = unix.UnixCredentials(&unix.Ucred{Pid: int32(pid)})
	}
	if r.file != nil {
		rights = unix.UnixRights(int(r.file.Fd()))
	}
	return unix.Sendmsg(socket, b.Bytes(), rights, nil, 0)
}

// receive reads the next report; io.EOF when init is gone.
func receive(socket int) (*report, error) {
	b, rights := make([]byte, maxReport), make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4))
	var n, rn int
	err := retry(func() (err error) {
		n, rn, _, _, err = unix.Recvmsg(socket, b, rights, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	r := &report{}
	if err := gob.NewDecoder(bytes.NewReader(b[:n])).Decode(r); err != nil {
		return nil, fmt.Errorf("report of init: %w", err)
	}
	r.pid = r.PID
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil {
		return nil, err
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil && r.PID == 0 {
			r.pid = int(cred.Pid)
		}
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) == 1 {
			r.file = os.NewFile(uintptr(fds[0]), "seccomp listener")
		}
	}
	return r, nil
}

// err turns a failure back into the error it was made of.
func (r *report) err(p *Plan) error {
	err := errors.New(r.Text)
	if r.Errno != 0 {
		err = &toldError{r.Text, r.Errno}
	}
	if r.Kind == reportExecFailed {
		return &ExecError{Name: p.Args[0], Err: err}
	}
	return &StepError{Step: r.Step, Err: err}
}

// A toldError is what init said of what the kernel answered.
type toldError struct {
	text  string
	errno syscall.Errno
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.errno }

// failure is the report of an error.
func failure(kind reportKind, err error) *report {
	r := &report{Kind: kind, Text: err.Error()}
	var step *StepError
	if errors.As(err, &step) {
		r.Step, r.Text = step.Step, step.Err.Error()
	}
	if !errors.As(err, &r.Errno) && errors.Is(err, fs.ErrNotExist) {
		r.Errno = unix.ENOENT
	}
	return r
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
