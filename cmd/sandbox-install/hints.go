package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/tarball"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// A hintedError carries the remedy for what went wrong.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// hintOf is the remedy: what the one who met the error says, or what its kind allows.
func hintOf(err error) string {
	var hinted *hintedError
	var unavailable *capture.Unavailable
	var usage *usageError
	var start *capture.StartError
	var step *sandbox.StepError
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &step) && step.Step == sandbox.EnterDir:
		return "start from a directory that the command may enter, or name one with --chdir"
	case errors.Is(err, syscall.EMFILE):
		return "more files have to be open at once: ulimit -n 1024"
	case errors.As(err, &unavailable):
		return unavailable.Hint
	case errors.As(err, &start):
		return startHint(start)
	case errors.As(err, &usage):
		return "sandbox-install --help shows the commands and their flags"
	case errors.Is(err, tarball.ErrNotTarball):
		return `it wants the NAME-VERSION.tar.zst that "sandbox-install run" wrote`
	case errors.Is(err, unpack.ErrNotInstalled):
		return "sandbox-install list prints those that are"
	}
	return ""
}

// startHint is the remedy for a command that could not be started.
func startHint(e *capture.StartError) string {
	program, _, line := strings.Cut(e.Name, " ")
	_, found := exec.LookPath(program)
	switch {
	case errors.Is(e, fs.ErrNotExist) && line && found == nil:
		return "the words of a command stand apart, and sh -c '" + e.Name + "' runs a line of the shell's"
	case errors.Is(e, fs.ErrNotExist) && !strings.Contains(e.Name, "/"):
		return "no directory in PATH has it; what only the shell knows is run by sh -c 'LINE'"
	case errors.Is(e, fs.ErrNotExist):
		return "its path starts at the working directory, inside of --root; a script may want an interpreter that is not there"
	case errors.Is(e, fs.ErrPermission):
		return "chmod +x makes it a program; a script can also be run by sh FILE"
	}
	return ""
}
