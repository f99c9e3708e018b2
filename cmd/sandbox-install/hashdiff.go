package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/hashdiff"
)

// liveMethod is the one method that, without --root, runs the command on the live
// tree. So it is taken only by its name, or for a copy of a root.
var liveMethod = &hashdiff.Method{}

// registerHashdiff adds the flags of the method.
func registerHashdiff(fl *pflag.FlagSet) {
	fl.StringArrayVar(&liveMethod.Scope, "scope", nil, "with --method hashdiff: watch only what is below this `DIR` (default: the whole system)")
	fl.BoolVar(&liveMethod.RollBack, "roll-back", false, "with --method hashdiff: keep a copy of all files in the scope first, and put them back afterwards")
}

// checkLive refuses flags that only the live method has, and says before anything
// is run what the live tree is in for.
func checkLive(stderr io.Writer, m capture.Method, root string) error {
	if m != capture.Method(liveMethod) {
		if liveMethod.RollBack || liveMethod.Scope != nil {
			return usagef("--scope and --roll-back are for --method hashdiff; %s watches all and changes nothing", m.Name())
		}
		return nil
	}
	if root == "" {
		for i, dir := range liveMethod.Scope {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			liveMethod.Scope[i] = abs
		}
	}
	switch {
	case root != "" && liveMethod.RollBack:
		return usagef("--roll-back: with --root the command runs in a copy, and there is nothing to roll back")
	case root != "":
	case liveMethod.RollBack:
		fmt.Fprintln(stderr, "sandbox-install: the command runs on the live system; what it changes below the scope is put back afterwards")
		fmt.Fprintln(stderr, `hint: if this is killed, "sandbox-install recover" puts it back`)
	default:
		fmt.Fprintln(stderr, "sandbox-install: the command runs on the live system, and what it changes stays changed")
		fmt.Fprintln(stderr, "hint: --roll-back puts it back afterwards; --root DIR runs the command in a copy of DIR")
	}
	return nil
}

// recoverRuns rolls back the runs on the live system that were killed.
func recoverRuns(ctx context.Context, stdio *stdio, staging string) error {
	roots, err := hashdiff.Recover(ctx, staging)
	for _, root := range roots {
		fmt.Fprintf(stdio.err, "sandbox-install: rolled back a killed run on %s\n", root)
	}
	return err
}
