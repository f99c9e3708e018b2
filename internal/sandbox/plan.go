package sandbox

import (
	"fmt"
	"os"
	"time"
)

// A Plan is all that the started copy of the program is told, as plain data.
type Plan struct {
	Mounts []Mount // parents before what is mounted below them; the first is the root

	Args []string // the command; none only builds the mounts and ends
	Env  []string // "KEY=value"
	Dir  string   // absolute, inside the new root

	HostSockets bool // abstract unix sockets of the host may be connected to

	NoNetwork bool // a network namespace of its own, with nothing but a loopback
	Container bool // run through libcontainer; see container.go

	// Bare runs the command where the caller is, without namespaces and mounts of its
	// own, in need of no privilege.
	Bare bool

	// Filters are programs for seccomp(2), each an array of struct sock_filter, which
	// the command and all it starts run under. The last one may ask: whom,
	// Files.Listener is told.
	Filters [][]byte

	// Users, if not nil, has init begin in a user namespace, as its root.
	Users *Users

	// Agent, if not "", is the registered one that makes the mounts instead, and
	// serves the caller afterwards. AgentOrder is for it.
	Agent      string
	AgentOrder []byte

	Grace time.Duration // how long what the command left running may take to end by itself
	Term  time.Duration // how long it may then take to end after SIGTERM
}

// A Mount is one step of building the root.
type Mount struct {
	Target string // entry path of the mount point; "." for the root itself

	// File is the number in Files.Mounts of a detached mount that is to be
	// attached here, or -1.
	File int

	// Type, if File is -1, is a file system to be mounted afresh, since it shows
	// the namespaces of who mounts it: "proc" or "mqueue". If both are missing,
	// what is at Target already becomes read-only, if there is such a thing.
	Type string
}

// Files are the descriptors that go with a Plan.
type Files struct {
	Stdin, Stdout, Stderr *os.File   // nil is /dev/null
	Mounts                []*os.File // detached mounts (fsmount(2), open_tree(2)), private
	Agent                 *os.File   // the agent's end of a socket; nil without one

	// Listener is given the listener of Plan.Filters, which it closes, before
	// anything runs under them; the answers must not wait for Run. It is called once,
	// with Filters, unless Run fails before.
	Listener func(*os.File)
}

// An Exit tells how a command ended.
type Exit struct {
	Code     int       // exit status, or 128+n if signal n ended it
	Outlived []Process // what still ran after Plan.Grace and had to be stopped

	wait func() error // of an agent that still serves us
}

// Wait waits for the agent, whose caller has hung up. Without one there is nothing
// to wait for.
func (e *Exit) Wait() error {
	if e.wait == nil {
		return nil
	}
	defer func() { e.wait = nil }()
	return e.wait()
}

// Users are the ids of a user namespace.
type Users struct{ UIDs, GIDs []IDMap }

// An IDMap says which ids outside those from Inside on are.
type IDMap struct{ Inside, Outside, Size int }

// A Process is one that was found running.
type Process struct {
	PID     int // inside
	Command string
}

// A StepError says which step of building the sandbox failed.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }
func (e *StepError) Unwrap() error { return e.Err }

// EnterDir is the step that fails where the command may not begin in Plan.Dir.
const EnterDir = "enter the working directory"

// An ExecError says that the command itself could not be started: Err is
// fs.ErrNotExist if there is no such program, fs.ErrPermission if it may not be
// executed.
type ExecError struct {
	Name string
	Err  error
}

func (e *ExecError) Error() string { return fmt.Sprintf("start %s: %v", e.Name, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }
