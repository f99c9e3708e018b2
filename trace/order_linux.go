package trace

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// What a path means is looked up twice, by us and then by the kernel. In between, a
// call of another thread that we have let through may be carried out and give the path
// another meaning. So calls that do that (they shift) have the kernel to themselves:
// before one is recorded, all that was let through must be over, and before anything
// else is, it must be.

// A passed call was let through, and may not be over yet.
type passed struct {
	*sandbox.Question
	shifts bool
	since  time.Time
	ran    time.Duration // how long its thread had been on a processor
}

// shifts reports whether a call gives paths that are there another meaning.
func (c *call) shifts() bool {
	return c.verb == verbRename || c.verb == verbLink || strings.HasPrefix(c.name, "symlink")
}

// await waits for calls of other threads. That a thread asks again means that its own
// last call is over.
func (r *recorder) await(c *call, q *sandbox.Question) {
	delete(r.passed, q.TID)
	if !c.shifts() && r.shifting == 0 {
		return
	}
	r.shifting = 0
	deadline := time.Now().Add(mostWait)
	for tid, p := range r.passed {
		if !c.shifts() && !p.shifts {
			continue
		}
		if !p.awaitEnd(deadline) {
			r.shifting++ // it waits for something: a fifo's other end, a lock
			continue
		}
		delete(r.passed, tid)
	}
}

// let notes a call that is about to be let through.
func (r *recorder) let(c *call, q *sandbox.Question) {
	p := passed{Question: q, shifts: c.shifts(), since: time.Now()}
	if len(r.passed) > 0 { // else there is nobody to wait for it
		p.ran = p.runTime()
	}
	r.passed[q.TID] = p
	if p.shifts {
		r.shifting++
	}
}

// The limits of waiting. A path is looked up in the beginning of a call, and few calls
// that shift need so much of a processor's time, or wait so long for something.
const (
	mostRun  = 200 * time.Microsecond
	mostWait = 20 * time.Millisecond
	pastAll  = time.Second
)

// awaitEnd waits until a call is over, as far as that can be told: its thread is gone,
// is in another call, or has run for some time. It reports false if the thread sleeps
// in the call for long.
func (p *passed) awaitEnd(deadline time.Time) bool {
	if time.Since(p.since) > pastAll {
		return true
	}
	if p.ran == 0 { // it was alone then
		p.ran = p.runTime()
	}
	for {
		text, err := os.ReadFile(procPath(p.TID, "syscall"))
		if err != nil {
			return true
		}
		now := strings.TrimSpace(string(text))
		sleeps := now != "running"
		switch {
		case sleeps && !strings.HasPrefix(now, p.text()):
			return true
		case !sleeps && p.runTime()-p.ran > mostRun:
			return true
		case time.Now().After(deadline):
			return !sleeps
		}
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil) // or less
	}
}

// text is what proc_pid_syscall(5) begins with in this call.
func (p *passed) text() string {
	a := &p.Args
	return fmt.Sprintf("%d 0x%x 0x%x 0x%x 0x%x 0x%x 0x%x ", p.Number, a[0], a[1], a[2], a[3], a[4], a[5])
}

// runTime is how long a thread was on a processor; 0 where the kernel does not tell
// (proc_pid_schedstat).
func (p *passed) runTime() time.Duration {
	text, _ := os.ReadFile(procPath(p.TID, "schedstat"))
	var ns int64
	_, _ = fmt.Sscan(string(text), &ns)
	return time.Duration(ns)
}
