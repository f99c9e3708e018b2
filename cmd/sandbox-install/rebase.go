package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/rebase"
)

// exitFindings is the status of a rebase command that did its work and has
// something wrong to tell.
const exitFindings = statusError(1)

// rebaseCommand is "rebase": addresses of their own for PE images.
func rebaseCommand(stdio *stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebase",
		Short: "Give DLLs addresses of their own, and keep the record of it",
		Long: `Rebase gives each PE image (DLL) an image base that collides with no other one
recorded in its database, or in the databases of other layers named by
--base-db. Databases of Cygwin's rebase (rBiI) are read and written, too; those of
our own form also hold what undo needs.

FILE is a path on this system; a directory stands for the images below it. What
is recorded is the path the image will have when it is used: relative to --root
or, for a staging directory, to --strip-prefix.

An image that cannot be moved safely is left alone, and the reason is told. The
exit status is 1 if an image collides or the check finds something.`,
	}
	cmd.AddCommand(
		rebasePlanCommand(stdio), rebaseApplyCommand(stdio), rebaseRegisterCommand(stdio), rebaseUnregisterCommand(stdio),
		rebaseInfoCommand(stdio), rebaseCheckCommand(stdio), rebaseUndoCommand(stdio), rebaseTriggerCommand(stdio),
	)
	return cmd
}

// A rebaseVerb is what one of the commands does with an open session.
type rebaseVerb func(ctx context.Context, s *rebaseSession, args []string) error

// run makes the function of a command: it opens what the flags name, does the
// verb, and closes it.
func (f *rebaseFlags) run(stdio *stdio, u use, do rebaseVerb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := f.open(cmd.Context(), stdio, u)
		if err != nil {
			return err
		}
		defer s.close()
		return do(cmd.Context(), s, args)
	}
}

// runPlan is run for a verb that does something with a plan and tells it.
func (f *rebaseFlags) runPlan(stdio *stdio, u use, do func(context.Context, *rebaseSession, *rebase.Plan) error) func(*cobra.Command, []string) error {
	return f.run(stdio, u, func(ctx context.Context, s *rebaseSession, args []string) error {
		plan, err := s.plan(ctx, args)
		if err != nil {
			return err
		}
		if err := do(ctx, s, plan); err != nil {
			return err
		}
		return s.printPlacements(plan.Placements)
	})
}

func rebasePlanCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	d := &drawing{}
	cmd := &cobra.Command{
		Use:   "plan --db FILE [flags] [FILE...]",
		Short: "Show what apply would do, and change nothing",
		RunE: f.runPlan(stdio, planning, func(_ context.Context, _ *rebaseSession, plan *rebase.Plan) error {
			return d.draw(stdio, plan)
		}),
	}
	f.registerDatabases(cmd)
	f.registerFiles(cmd)
	f.registerPolicy(cmd)
	d.register(cmd)
	return cmd
}

// A drawing is how the address map is asked for.
type drawing struct {
	text bool
	svg  string
	o    rebase.MapOptions
}

func (d *drawing) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.text, "map", false, "draw the address map before and after, as text")
	cmd.Flags().StringVar(&d.svg, "svg", "", "draw the address map before and after into `FILE`")
	cmd.Flags().BoolVar(&d.o.Names, "names", false, "write the images' names into the maps")
}

func (d *drawing) draw(stdio *stdio, plan *rebase.Plan) error {
	if d.text {
		if err := plan.WriteMap(stdio.out, d.o); err != nil {
			return err
		}
	}
	if d.svg == "" {
		return nil
	}
	f, err := os.Create(d.svg)
	if err != nil {
		return err
	}
	return errors.Join(plan.WriteSVG(f, d.o), f.Close())
}

func rebaseApplyCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply --db FILE [flags] [FILE...]",
		Short: "Move images to their own addresses, and record them",
		RunE: f.runPlan(stdio, writing, func(ctx context.Context, s *rebaseSession, plan *rebase.Plan) error {
			if f.policy.Compact && !s.full && !yes {
				refused := &hintedError{errors.New("nothing was done: this would place all images anew"), "--yes does it"}
				return errors.Join(s.printPlacements(plan.Placements), refused)
			}
			if err := s.apply(ctx, plan); err != nil || !s.full || plan.Failed() > 0 {
				return err
			}
			return rebase.FullDone(s.root)
		}),
	}
	f.registerDatabases(cmd)
	f.registerFiles(cmd)
	f.registerPolicy(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do what --compact shows")
	return cmd
}

func rebaseRegisterCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{policy: rebase.Policy{Stay: true}}
	cmd := &cobra.Command{
		Use:   "register --db FILE [flags] [FILE...]",
		Short: "Record images where they are, and move none",
		RunE: f.runPlan(stdio, writing, func(ctx context.Context, s *rebaseSession, plan *rebase.Plan) error {
			return s.apply(ctx, plan)
		}),
	}
	f.registerDatabases(cmd)
	f.registerFiles(cmd)
	cmd.Flags().BoolVar(&f.policy.Force, "force", false, "record even what collides")
	return cmd
}

func rebaseUnregisterCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	var missing bool
	cmd := &cobra.Command{
		Use:   "unregister --db FILE [--missing] [NAME...]",
		Short: "Take images out of the database",
		Long:  "Unregister takes images out of the database, by the names they are recorded by. The files are not touched.",
		RunE: f.run(stdio, changing, func(_ context.Context, s *rebaseSession, names []string) error {
			if len(names) == 0 && !missing {
				return usagef("name the images to unregister, or --missing")
			}
			if missing {
				gone, err := s.missing()
				if err != nil {
					return err
				}
				names = append(names, gone...)
			}
			return s.unregister(names)
		}),
	}
	f.registerDatabases(cmd)
	f.registerPlaces(cmd)
	cmd.Flags().BoolVar(&missing, "missing", false, "all images whose file is not there")
	return cmd
}

func (s *rebaseSession) unregister(names []string) error {
	var failed error
	for _, name := range names {
		if !s.db.Remove(name) {
			failed = errors.Join(failed, fmt.Errorf("%s: not recorded in %s", name, s.db.Path))
		}
	}
	return errors.Join(s.db.Save(), failed)
}

func rebaseInfoCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	cmd := &cobra.Command{
		Use:   "info [--db FILE] [FILE...]",
		Short: "List images by address, overlaps marked",
		Long: `Info lists the images recorded in the database or, where files are named, those
files as they are. They are sorted by machine and base; * marks one that overlaps
another, also one in a database given by --base-db.`,
		RunE: f.run(stdio, optional, func(_ context.Context, s *rebaseSession, args []string) error {
			return s.info(args)
		}),
	}
	f.registerDatabases(cmd)
	f.registerFiles(cmd)
	return cmd
}

func rebaseCheckCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	cmd := &cobra.Command{
		Use:   "check --db FILE",
		Short: "Hold the database against the files and the other databases",
		Long: `Check tells for every record whether its file is there, is the one that was
recorded (rebased by us) or another (modified), would undo to its original bytes,
and whether its addresses collide with another record's.`,
		Args: exactArgs(0),
		RunE: f.run(stdio, reading, func(ctx context.Context, s *rebaseSession, _ []string) error {
			findings, err := rebase.Check(ctx, s.root, s.db, s.policy.Respect)
			if err != nil {
				return err
			}
			return printFindings(stdio, findings, f.json)
		}),
	}
	f.registerDatabases(cmd)
	f.registerPlaces(cmd)
	return cmd
}

func rebaseUndoCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	var all bool
	cmd := &cobra.Command{
		Use:   "undo --db FILE (--all | FILE...)",
		Short: "Give moved images their original bytes back",
		RunE: f.run(stdio, changing, func(ctx context.Context, s *rebaseSession, args []string) error {
			files, err := s.files(args)
			if all {
				files, err = s.recorded()
			}
			if err != nil {
				return err
			}
			if len(files) == 0 && !all {
				return usagef("name the images to undo, or --all")
			}
			placements, err := rebase.Undo(ctx, s.root, files, s.db)
			if err != nil {
				return err
			}
			return s.printPlacements(placements)
		}),
	}
	f.registerDatabases(cmd)
	f.registerPlaces(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all images of the database")
	return cmd
}

func rebaseTriggerCommand(stdio *stdio) *cobra.Command {
	f := &rebaseFlags{}
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "Ask for a full rebase by the next apply --discover",
		Args:  exactArgs(0),
		RunE: f.run(stdio, optional, func(_ context.Context, s *rebaseSession, _ []string) error {
			return rebase.TriggerFull(s.root)
		}),
	}
	f.registerPlaces(cmd)
	return cmd
}
