// Package capture is the contract that all capture methods keep, and what they
// share: how a command is described, what a run gives back, how a method is
// chosen, how a file becomes an entry, and how entries are classified afterwards.
//
// It knows nothing of how a method works.
package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Command is an installation to be run and watched.
type Command struct {
	Args []string // program and arguments; the program is looked up in Env's PATH inside Root
	Env  []string // "KEY=value"
	Dir  string   // absolute working directory, inside Root

	Stdin, Stdout, Stderr *os.File

	// Root is another root file system to run in, an absolute host path of a
	// directory; "" is the host's own. It is not changed.
	Root string

	// Staging is a host directory for what a method must keep during the run;
	// "" lets the method choose.
	Staging string

	// Provenance has the list tell which program wrote each path last (plist.Entry.By).
	Provenance bool

	ShareRun  bool // let the command reach host daemons through /run
	NoNetwork bool // no network but a loopback of its own
	Isolate   Isolation

	// Notice, if not nil, is told what the user should know before the command starts.
	Notice func(text string)

	// Started, if not nil, is called when all is prepared and the command is about to
	// be started.
	Started func()

	// Ended, if not nil, is called when the command and what it left running
	// have ended, before what they did is read.
	Ended func()

	// Progress, if not nil, is called now and then during long work after the
	// command has ended, with the number of entries done so far.
	Progress func(done int)

	Log *slog.Logger // debug messages; nil discards them
}

// Isolation says how far the command is kept from the machine.
type Isolation string

// The isolations.
const (
	IsolateNamespaces Isolation = ""          // its own mounts, processes, IPC and host name
	IsolateContainer  Isolation = "container" // also cgroup limits, fewer capabilities, masked paths
)

// A Result is what a run gives back. Close it when the tree is no longer needed.
type Result struct {
	// List is everything the command did, nothing classified but what only the
	// method can know (plist.ClassIdentical). Its Notes are set; its Name,
	// Version and Prefix are not.
	List *plist.List
	Tree plist.Tree

	// ExitCode is the command's own status; 128+n if signal n ended it.
	ExitCode int

	// Hint is what was in the command's way, should it have failed, and the remedy; mostly "".
	Hint string

	// Blind says what the method can not see by its nature, a sentence each.
	Blind []string

	io.Closer
}

// A Method is one way to capture an installation.
//
// To add a method: write a package with a type that has these three methods,
// pass the suite of package capturetest, give it a line in layers_test.go, and
// put it in the table of cmd/sandbox-install/methods.go in portability order.
type Method interface {
	// Name is the word after --method.
	Name() string

	// Probe really tries what Run will need, in a child where it could do harm,
	// and returns nil or the exact reason why the method does not work here, as
	// an *Unavailable.
	Probe(ctx context.Context) error

	// Run runs the command to its end, stops what it left running, and reads
	// what it did. A command that ran and failed is a Result, not an error; one
	// that could not be started is a *StartError. From Command.Started to Ended,
	// SIGINT, SIGTERM, SIGHUP and the like are the command's: they are passed on. When ctx
	// is cancelled the command is stopped and everything undone. Run leaves the
	// system as it was, however it ends.
	Run(ctx context.Context, cmd Command) (*Result, error)
}

// Unavailable is the reason why a method does not work here.
type Unavailable struct {
	Reason error  // what was tried and what the kernel answered
	Hint   string // what the user can do about it; may be ""
}

func (u *Unavailable) Error() string { return u.Reason.Error() }

// Unwrap makes errors.Is(err, errors.ErrUnsupported) true, and the reason's own
// chain reachable.
func (u *Unavailable) Unwrap() []error { return []error{errors.ErrUnsupported, u.Reason} }

// StartError says that the command could not be started: Err is fs.ErrNotExist
// if there is no such program.
type StartError struct {
	Name string
	Err  error
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Name, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// Outlived is the note of a process that outlived the command.
func Outlived(pid int, command string) plist.Note {
	return plist.Note{
		Kind: plist.NoteOutlived,
		Text: fmt.Sprintf("process %d was still running and was stopped: %s", pid, command),
	}
}

// A Rejection is a method that Select passed over, and why.
type Rejection struct {
	Method Method
	Reason error
}

// Select returns the first method whose Probe succeeds, and why the ones before
// it were passed over. If none works, the error joins all reasons.
func Select(ctx context.Context, methods []Method) (Method, []Rejection, error) {
	var rejected []Rejection
	var reasons []error
	for _, m := range methods {
		err := m.Probe(ctx)
		if err == nil {
			return m, rejected, nil
		}
		rejected = append(rejected, Rejection{m, err})
		reasons = append(reasons, fmt.Errorf("%s: %w", m.Name(), err))
	}
	return nil, rejected, fmt.Errorf("no capture method works here: %w", errors.Join(reasons...))
}
