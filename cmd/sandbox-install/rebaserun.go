package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/rebase"
)

// A rebaseOption gives captured images addresses of their own before they are
// packed, if a database is named.
type rebaseOption struct{ flags rebaseFlags }

func (o *rebaseOption) register(cmd *cobra.Command) {
	f := &o.flags
	f.format.value = string(rebase.FormatText)
	for _, t := range rebase.Targets {
		f.target.allowed = append(f.target.allowed, string(t))
	}
	fl := cmd.Flags()
	fl.StringVar(&f.db, "rebase-db", "", "move the captured DLLs to addresses of their own, recorded in this `FILE`")
	fl.StringArrayVar(&f.baseDBs, "rebase-base-db", nil, "with --rebase-db, database `FILE` of another layer to respect; may be repeated")
	fl.Var(&f.target, "rebase-target", "with --rebase-db, system the DLLs are for")
	must(cmd.RegisterFlagCompletionFunc("rebase-target", f.target.complete))
}

// A rebasedCapture is what is to be recorded once the package is written. Nil
// stands for nothing.
type rebasedCapture struct {
	session  *rebaseSession
	captured *rebase.Captured
}

// move replaces list and tree by those with the images moved.
func (o *rebaseOption) move(ctx context.Context, stdio *stdio, files *capturedFiles) (*rebasedCapture, error) {
	if o.flags.db == "" {
		return nil, nil
	}
	r := &rebasedCapture{session: &rebaseSession{flags: &o.flags, policy: &o.flags.policy}}
	err := r.session.openDatabases(ctx, writing)
	if err == nil {
		err = o.flags.completePolicy(r.session.db)
	}
	if err == nil {
		r.captured, err = rebase.MoveCaptured(ctx, files.list, files.tree, r.session.policy)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	files.list, files.tree = r.captured.List, r.captured.Tree
	for i := range r.captured.Placements {
		if p := &r.captured.Placements[i]; p.Action == rebase.Move || p.Action == rebase.Fail || p.Rule != "" {
			fmt.Fprintf(stdio.err, "sandbox-install: rebase: %s\n", placementLine(p))
		}
	}
	return r, nil
}

func (r *rebasedCapture) save() error {
	if r == nil {
		return nil
	}
	return r.captured.Save()
}

func (r *rebasedCapture) close() {
	if r != nil {
		r.session.close()
	}
}
