package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// signalError is the cause of a context that a signal cancelled. SIGPIPE is such a
// signal, too: who reads what we print may go before everything is put back.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return e.signal.String() }

// commandRuns is true while signals belong to the command: the method passes
// them on, and what becomes of them is the command's to decide.
var commandRuns atomic.Bool

// interruptible returns a context that is cancelled by the first signal that asks
// us, and not the command, to end.
func interruptible(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE} {
		if !signal.Ignored(sig) { // nohup(1)
			signal.Notify(signals, sig)
		}
	}
	go func() {
		for sig := range signals {
			if !commandRuns.Load() {
				cancel(&signalError{sig.(syscall.Signal)})
			}
		}
	}()
	return ctx
}
