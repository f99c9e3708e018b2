package main

import (
	"github.com/spf13/pflag"

	"github.com/sandbox-install/sandbox-install/trace"
)

// traceMethod runs the command on the live tree and puts back what it changes, so it
// is taken only by its name.
var traceMethod = &trace.Method{}

// registerTrace adds the flags of the method.
func registerTrace(fl *pflag.FlagSet) {
	fl.BoolVar(&traceMethod.NoRollBack, "no-roll-back", false, "with --method seccomp: leave what the command changed, as in a throw-away container")
}
