package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/plist"
)

// diffFlags are the flags of "diff".
type diffFlags struct {
	print    printFlags
	paranoid bool
}

func diffCommand(stdio *stdio) *cobra.Command {
	flags := &diffFlags{}
	cmd := &cobra.Command{
		Use:   "diff [flags] BEFORE AFTER",
		Short: "Show what happened between two snapshots, or a snapshot and a live tree",
		Long: `Diff compares two trees and prints a packing list of what was added, modified and
deleted. Each of the two is a snapshot file or a directory; a directory beside a
snapshot is the root it was made of, or another one, and the same paths below it
are compared.`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), stdio, args)
		},
	}
	flags.print.register(cmd)
	cmd.Flags().BoolVar(&flags.paranoid, "paranoid", false, "read all files of a live tree, whatever their times say")
	return cmd
}

func (f *diffFlags) run(ctx context.Context, stdio *stdio, args []string) error {
	before, err := openSide(args[0], f.paranoid)
	if err != nil {
		return err
	}
	defer before.close() //nolint:errcheck // only read
	after, err := openSide(args[1], f.paranoid)
	if err != nil {
		return err
	}
	defer after.close() //nolint:errcheck // only read
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
	return hashdiff.Diff(was, is)
}

// A side is one of the two trees that are compared: a snapshot or a live tree.
type side struct {
	name     string
	paranoid bool           // if it is live, read all of it
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
	if s.file != nil {
		return s.file, nil
	}
	scope := hashdiff.Scope{Root: s.name, Paths: []string{"."}}
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
