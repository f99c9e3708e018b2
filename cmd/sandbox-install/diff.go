package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/plist"
)

// diffFlags are the flags of "diff".
type diffFlags struct {
	print    printFlags
	paranoid bool
	base     baseFlags
}

func diffCommand(stdio *stdio) *cobra.Command {
	flags := &diffFlags{}
	cmd := &cobra.Command{
		Use:   "diff [flags] [BEFORE] AFTER",
		Short: "Show what happened between two snapshots, or a snapshot and a live tree",
		Long: `Diff compares two trees and prints a packing list of what was added, modified and
deleted. Each of the two is a snapshot file or a directory; a directory beside a
snapshot is the root it was made of, or another one, and the same paths below it
are compared.

With --base, what belongs to a package already is left out, so that without BEFORE
the list is of all that belongs to none. ` + baseHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), stdio, args)
		},
	}
	flags.print.register(cmd)
	flags.base.register(cmd)
	cmd.Flags().BoolVar(&flags.paranoid, "paranoid", false, "read all files of a live tree, whatever their times say")
	return cmd
}

func (f *diffFlags) run(ctx context.Context, stdio *stdio, args []string) error {
	debug.SetGCPercent(50) // a list may be long: rather time than half as much again of garbage
	before := &side{}
	var err error
	switch {
	case len(args) == 1 && f.base.names == nil:
		return usagef("one tree alone can only be compared with --base")
	case len(args) != 1 && len(args) != 2:
		return usagef("%d arguments, want BEFORE and AFTER", len(args))
	case len(args) == 2:
		if before, err = openSide(args[0], f.paranoid); err != nil {
			return err
		}
	}
	defer before.close() //nolint:errcheck // only read
	after, err := openSide(args[len(args)-1], f.paranoid)
	if err != nil {
		return err
	}
	defer after.close() //nolint:errcheck // only read
	after.alone = before.name == ""
	if err := f.base.load(after.root()); err != nil {
		return err
	}
	l, err := f.diff(ctx, stdio, before, after)
	if err != nil {
		return err
	}
	for _, n := range l.Notes {
		fmt.Fprintf(stdio.err, "sandbox-install: trust: %s: %s\n", n.Kind, n.Text)
	}
	return f.print.print(stdio.out, l)
}

func (f *diffFlags) diff(ctx context.Context, stdio *stdio, before, after *side) (*plist.List, error) {
	if before.file != nil && after.file != nil && !slices.Equal(before.file.Header.Paths, after.file.Header.Paths) {
		return nil, usagef("%s and %s are snapshots of different paths", before.name, after.name)
	}
	step, end := progress(stdio.err, "comparing")
	defer end()
	was, err := before.source(ctx, after, hashdiff.Options{})
	if err != nil {
		return nil, err
	}
	is, err := after.source(ctx, before, hashdiff.Options{Progress: step})
	if err != nil {
		return nil, err
	}
	l, err := hashdiff.Diff(was, is)
	if err != nil {
		return nil, err
	}
	if before.name == "" && f.base.owners != nil {
		f.base.owners.Compare(l)
	}
	f.base.leaveOut(l)
	return l, nil
}

// A side is one of the two trees that are compared: a snapshot or a live tree. One
// without name is empty.
type side struct {
	name     string
	paranoid bool           // if it is live, read all of it
	alone    bool           // there is no other side
	file     *hashdiff.File // nil if it is live
	open     []io.Closer
}

func openSide(name string, paranoid bool) (*side, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	s := &side{name: name, paranoid: paranoid}
	if st.IsDir() {
		s.name, err = realPath(name)
		return s, err
	}
	if s.file, err = hashdiff.Open(name); err != nil {
		return nil, err
	}
	s.open = append(s.open, s.file)
	return s, nil
}

// root is what the entry paths of a side are relative to: for one of two live trees
// the tree, so that the two can be compared, and else the root of the system.
func (s *side) root() string {
	switch {
	case s.file != nil:
		return s.file.Header.Root
	case s.alone:
		return hashdiff.SystemRoot(s.name)
	}
	return s.name
}

func (s *side) close() error {
	var errs []error
	for _, c := range s.open {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// source begins to read a side. A live tree is compared in the paths of the other
// side's snapshot, which also saves reading what did not change since.
func (s *side) source(ctx context.Context, other *side, options hashdiff.Options) (hashdiff.Source, error) {
	switch {
	case s.name == "":
		return hashdiff.Nothing{}, nil
	case s.file != nil:
		return s.file, nil
	}
	scope, err := hashdiff.NewScope(s.root(), s.name)
	if err != nil {
		return nil, err
	}
	if other.file != nil {
		scope = other.file.ScopeBelow(s.name)
		if !s.paranoid {
			earlier, err := hashdiff.Open(other.name)
			if err != nil {
				return nil, err
			}
			s.open = append(s.open, earlier)
			options.Earlier = earlier
		}
	}
	scanner := hashdiff.Scan(ctx, scope, options)
	s.open = append(s.open, scanner)
	return scanner, nil
}
