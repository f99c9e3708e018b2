package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/trace"
)

// checkLive refuses flags that only the live methods have, and says before anything
// is run what the live tree is in for.
func checkLive(stderr io.Writer, m capture.Method, root string) error {
	if err := absoluteScope(root); err != nil {
		return err
	}
	onHashdiff, onTrace := m == capture.Method(liveMethod), m == capture.Method(traceMethod)
	switch {
	case !onHashdiff && (liveMethod.RollBack || liveMethod.Scope != nil):
		return usagef("--scope and --roll-back are for --method hashdiff, not for %s", m.Name())
	case !onTrace && traceMethod.NoRollBack:
		return usagef("--no-roll-back is for --method seccomp, not for %s", m.Name())
	case onHashdiff && root != "" && liveMethod.RollBack:
		return usagef("--roll-back: with --root the command runs in a copy, and there is nothing to roll back")
	case !onHashdiff && !onTrace, onHashdiff && root != "":
	case onHashdiff && liveMethod.RollBack:
		sayRollBack(stderr, "all that changes below the scope meanwhile, by whomever, is put back afterwards")
	case onTrace && !traceMethod.NoRollBack:
		sayRollBack(stderr, "what it changes is put back afterwards")
	default:
		fmt.Fprintln(stderr, "sandbox-install: the command runs on the live system, and what it changes stays changed")
		if onHashdiff {
			fmt.Fprintln(stderr, "hint: --roll-back puts it back afterwards; --root DIR runs the command in a copy of DIR")
		}
	}
	return nil
}

// absoluteScope makes host paths of a scope that is on the live tree.
func absoluteScope(root string) error {
	if root != "" {
		return nil
	}
	for i, dir := range liveMethod.Scope {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		liveMethod.Scope[i] = abs
	}
	return nil
}

func sayRollBack(stderr io.Writer, what string) {
	fmt.Fprintf(stderr, "sandbox-install: the command runs on the live system; %s\n", what)
	fmt.Fprintln(stderr, `hint: if this is killed, "sandbox-install recover" puts it back`)
}

// recoverRuns rolls back the runs on the live system that were killed, and removes the
// roots that such runs unpacked.
func recoverRuns(ctx context.Context, stdio *stdio, staging string) error {
	roots, err := hashdiff.Recover(ctx, staging)
	for _, root := range roots {
		fmt.Fprintf(stdio.err, "sandbox-install: rolled back a killed run on %s\n", root)
	}
	journals, traceErr := trace.Recover(ctx, staging)
	for _, journal := range journals {
		fmt.Fprintf(stdio.err, "sandbox-install: rolled back a killed run by its journal %s\n", journal)
	}
	return errors.Join(err, traceErr, sweepRoots(staging))
}
