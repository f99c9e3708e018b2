// Command sandbox-install runs an installation without letting it touch the
// system, and packages what it would have written.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// The exit statuses of our own; every other one is the command's.
const (
	exitUsage     = 2
	exitFailed    = 125
	exitNotExec   = 126
	exitNotFound  = 127
	exitSignalled = 128 // plus the signal's number
)

// memoryLimit is where the collector begins to work harder, in bytes. The list of
// a million entries fits below it; a larger one goes beyond.
const memoryLimit = 400 << 20

func main() {
	sandbox.Init()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx := interruptible(context.Background())
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it carries out one command line and returns the
// exit status.
func run(ctx context.Context, args []string, stdin, stdout, stderr *os.File) int {
	root := rootCommand(&stdio{in: stdin, out: stdout, err: stderr})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return report(stderr, err)
}

// stdio is what the program and the commands it runs read and write.
type stdio struct{ in, out, err *os.File }

// report prints an error for people and returns the exit status it stands for.
func report(w *os.File, err error) int {
	var own statusError
	switch {
	case errors.As(err, &own):
		return int(own)
	case isBrokenPipe(err): // as if the signal had ended us
		return exitSignalled + int(syscall.SIGPIPE)
	}
	fmt.Fprintf(w, "sandbox-install: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
	var sig *signalError
	var start *capture.StartError
	var usage *usageError
	switch {
	case errors.As(err, &sig):
		return exitSignalled + int(sig.signal)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &start) && errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.As(err, &start):
		return exitNotExec
	}
	return exitFailed
}

// isBrokenPipe reports whether nobody reads any more what the program prints.
func isBrokenPipe(err error) bool {
	var sig *signalError
	var write *fs.PathError
	return errors.As(err, &sig) && sig.signal == syscall.SIGPIPE ||
		errors.As(err, &write) && write.Err == syscall.EPIPE && write.Path == os.Stdout.Name()
}

// A statusError ends the program with a status and no message: the command that
// was run has said what there was to say.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A usageError is the user's to mend on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
