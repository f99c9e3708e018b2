package capture

import (
	"errors"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Watcher finds out which program writes what, by looking at the system calls that
// can change a file before they are made. Package trace, who knows system calls, makes
// one for whatever method runs the command.
type Watcher interface {
	// Filter returns a program for seccomp(2), an array of struct sock_filter, that
	// asks about such calls, and lets all through.
	Filter() ([]byte, error)

	// Saw is told of each call that is asked about, one after the other, before the
	// kernel is answered to make it.
	Saw(c *SystemCall)

	// Mark sets By of the entries, when all is over.
	Mark(l *plist.List)

	Close() error
}

// A SystemCall is one that a thread is about to make.
type SystemCall struct {
	Thread uint32 // as this process's pid namespace numbers it
	Arch   uint32 // AUDIT_ARCH_* of linux/audit.h
	Number int32
	Args   [6]uint64
}

var newWatcher func() (Watcher, error)

// RegisterWatcher makes known how a Watcher is made. It is called by init functions.
func RegisterWatcher(make func() (Watcher, error)) { newWatcher = make }

// NewWatcher makes a Watcher. Where there can be none it returns an *Unavailable.
func NewWatcher() (Watcher, error) {
	if newWatcher == nil {
		return nil, &Unavailable{Reason: errors.New("nobody here can tell which program writes what")}
	}
	w, err := newWatcher()
	if err != nil {
		return nil, &Unavailable{Reason: err}
	}
	return w, nil
}
