//go:build linux && amd64

package redirect

import (
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// The command is started by a copy of this program, which first waits to be traced
// and then puts itself under the filter: before, the filter would refuse its calls.

// launchVariable tells the copy the abstract address of a socket; there it reads a
// launch, and writes a failure.
const launchVariable = "SANDBOX_INSTALL_REDIRECT"

// A launch is what the copy is to become.
type launch struct {
	Args, Env []string
	Dir       string
	Umask     int
}

// A failure is why it could not.
type failure struct {
	Step  string // "" if the command itself could not be started
	Text  string
	Errno unix.Errno
}

func (f *failure) err(name string) error {
	err := error(f.Errno)
	if f.Errno == 0 {
		err = errors.New(f.Text)
	}
	if f.Step != "" {
		return &sandbox.StepError{Step: f.Step, Err: err}
	}
	return &sandbox.ExecError{Name: name, Err: err}
}

// The main goroutine is still locked to the main thread, and there is no other one
// that the tracer would have to know of.
func init() {
	address, ok := os.LookupEnv(launchVariable)
	if !ok {
		return
	}
	c, err := net.Dial("unix", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-install: reach the tracer:", err)
		os.Exit(1)
	}
	f := failure{Step: "read the command"}
	var l launch
	if err = gob.NewDecoder(c).Decode(&l); err == nil { // now we are traced
		f.Step, err = l.become()
	}
	f.Text = err.Error()
	errors.As(err, &f.Errno)
	_ = gob.NewEncoder(c).Encode(f) // nobody else to tell
	os.Exit(1)
}

// become returns only if it fails.
func (l *launch) become() (step string, err error) {
	if err := os.Chdir(l.Dir); err != nil {
		return sandbox.EnterDir, err
	}
	unix.Umask(l.Umask)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return "give up new privileges", err
	}
	name, err := sandbox.LookPath(l.Args[0], l.Env)
	if errors.Is(err, os.ErrNotExist) {
		err = unix.ENOENT
	} else if errors.Is(err, os.ErrPermission) {
		err = unix.EACCES
	}
	if err != nil {
		return "", err
	}
	program := filter()
	code := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&code))); errno != 0 {
		return "load a seccomp filter", errno
	}
	err = syscall.Exec(name, l.Args, l.Env)
	if err == unix.ENOEXEC { // as execvp(3) does with a script that has no first line
		err = syscall.Exec("/bin/sh", append([]string{"sh", name}, l.Args[1:]...), l.Env)
	}
	return "", err
}
