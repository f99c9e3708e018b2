package main

import (
	"github.com/spf13/pflag"

	"github.com/sandbox-install/sandbox-install/hashdiff"
)

// liveMethod runs the command on the live tree if there is no --root. So it is taken
// only by its name, or for a copy of a root.
var liveMethod = &hashdiff.Method{}

// registerHashdiff adds the flags of the method.
func registerHashdiff(fl *pflag.FlagSet) {
	fl.StringArrayVar(&liveMethod.Scope, "scope", nil, "with --method hashdiff: watch only what is below this `DIR` (default: the whole system)")
	fl.BoolVar(&liveMethod.RollBack, "roll-back", false, "with --method hashdiff: keep a copy of all files in the scope first, and put them back afterwards")
}
