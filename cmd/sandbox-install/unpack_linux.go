package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/tarball"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// exitRefused says that a plan was refused and nothing written.
const exitRefused = 3

// targetFlags say which root is changed, and how.
type targetFlags struct {
	root   string
	state  string
	policy unpack.Policy
	rebase rebaseOption
	dry    bool

	rebased *rebasedCapture // of the package to be unpacked, if that is asked for
}

// unpackCommands are the commands that change or read a root of packages.
func unpackCommands(io *stdio) []*cobra.Command {
	return []*cobra.Command{
		unpackCommand(io), planCommand(io), removeCommand(io), undoCommand(io), recoverCommand(io),
		historyCommand(io), listCommand(io), filesCommand(io), ownerCommand(io), checkCommand(io),
	}
}

func (f *targetFlags) register(cmd *cobra.Command) *cobra.Command {
	fl := cmd.Flags()
	fl.StringVar(&f.root, "root", "/", "the root that packages are unpacked over, a `DIR`")
	fl.StringVar(&f.state, "state", unpack.DefaultState, "state directory, a `PATH` inside the root")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

func (f *targetFlags) registerPolicy(cmd *cobra.Command) *cobra.Command {
	fl := cmd.Flags()
	fl.BoolVar(&f.policy.Save, "save", false, "let files of yours give way; they are kept")
	fl.BoolVar(&f.policy.KeepMine, "keep-mine", false, "leave files of yours in place, and the package's out")
	fl.BoolVar(&f.dry, "plan", false, "print what would be done, and do nothing")
	return f.register(cmd)
}

// with opens the root and calls do with it.
func (f *targetFlags) with(do func(*unpack.Root) error) error {
	r, err := unpack.Open(f.root, unpack.Options{State: f.state})
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

func unpackCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	cmd := f.registerPolicy(&cobra.Command{
		Use:   "unpack [flags] FILE",
		Short: "Put a package over a root: all of it, or nothing",
		Long: `Unpack puts what a tarball of "run" holds over a root directory, in the place of
the package of the same name if there is one. What was in the way is kept, and
comes back with "remove" or "undo".

If the package or the root forbid it, nothing is written and the exit status is 3.
If the program or the machine is stopped on the way, the next command, or
"recover", finishes what was committed and takes everything else back.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.unpack(cmd.Context(), stdio, args[0]) },
	})
	f.rebase.register(cmd)
	cmd.Flags().BoolVar(&f.policy.Devices, "devices", false, "let the package bring device nodes")
	return cmd
}

func planCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	cmd := f.registerPolicy(&cobra.Command{
		Use:   "plan [flags] FILE",
		Short: "Print what unpack would do",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.dry = true
			return f.unpack(cmd.Context(), stdio, args[0])
		},
	})
	f.rebase.register(cmd)
	cmd.Flags().BoolVar(&f.policy.Devices, "devices", false, "let the package bring device nodes")
	return cmd
}

// unpack opens a tarball and puts it over the root.
func (f *targetFlags) unpack(ctx context.Context, stdio *stdio, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	tar, err := tarball.NewReader(file)
	if err != nil {
		return wrap(name, err)
	}
	files := capturedFiles{tar.List(), tar}
	if f.rebased, err = f.rebase.moveInTarball(ctx, stdio, name, &files); err != nil {
		return errors.Join(err, tar.Close())
	}
	defer f.rebased.close()
	pkg := unpack.Package{List: files.list, Tree: files.tree}
	err = f.change(stdio, changeVerb{
		plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanUnpack(pkg, f.policy) },
		do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Unpack(pkg, f.policy) },
	})
	return errors.Join(err, tar.Close())
}

func removeCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.rebase.registerFollow(f.registerPolicy(&cobra.Command{
		Use:   "remove [flags] NAME",
		Short: "Take a package away and bring back what was there before it",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return f.change(stdio, changeVerb{
				plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanRemove(args[0], f.policy) },
				do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Remove(args[0], f.policy) },
			})
		},
	}))
}

func undoCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var number int
	cmd := f.rebase.registerFollow(f.register(&cobra.Command{
		Use:   "undo [flags] [NUMBER]",
		Short: "Bring back what was there before a transaction",
		Long: `Undo brings back what was there before the transaction of a number that "history"
shows; without one, before the last that is neither an undo nor undone. An undo is
a transaction too, and may be undone by its number.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("undo takes one number")
			}
			if len(args) == 1 {
				if _, err := fmt.Sscanf(args[0], "%d", &number); err != nil || number <= 0 || fmt.Sprint(number) != args[0] {
					return usagef("undo %s: want the number of a transaction", args[0])
				}
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return f.change(stdio, changeVerb{
				plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanUndo(number) },
				do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Undo(number) },
			})
		},
	}))
	cmd.Flags().BoolVar(&f.dry, "plan", false, "print what would be done, and do nothing")
	return cmd
}

// A changeVerb is one that changes a root: how it is planned, and how done.
type changeVerb struct {
	plan func(*unpack.Root) (*unpack.Plan, error)
	do   func(*unpack.Root) (*unpack.Done, error)
}

// change plans or does, and tells about it.
func (f *targetFlags) change(stdio *stdio, v changeVerb) error {
	if f.policy.Save && f.policy.KeepMine {
		return usagef("--save and --keep-mine: want one of them")
	}
	err := f.with(func(r *unpack.Root) error {
		if f.dry {
			p, err := v.plan(r)
			if err != nil {
				return err
			}
			return printPlan(stdio, p)
		}
		done, err := f.following(stdio, v).do(r)
		if done != nil {
			printRecovery(stdio, done.Recovered)
		}
		if err != nil {
			return err
		}
		printNotes(stdio, done.Notes)
		fmt.Fprintf(stdio.err, "sandbox-install: %s %s %s: %d changes; transaction %d\n",
			done.Verb, done.Name, done.Version, len(done.Changes()), done.Number)
		return nil
	})
	return refusal(stdio, err)
}

func printPlan(stdio *stdio, p *unpack.Plan) error {
	printNotes(stdio, p.Notes)
	for _, c := range p.Changes() {
		if _, err := fmt.Fprintf(stdio.out, "%s\t/%s\n", c.Action, c.Path); err != nil {
			return err
		}
	}
	return nil
}

func printNotes(stdio *stdio, notes []string) {
	for _, n := range notes {
		fmt.Fprintf(stdio.err, "sandbox-install: %s\n", n)
	}
}

func printRecovery(stdio *stdio, r *unpack.Recovery) {
	if r == nil {
		return
	}
	what := "taken back"
	if r.Done {
		what = "finished"
	}
	fmt.Fprintf(stdio.err, "sandbox-install: transaction %d (%s %s %s) had been interrupted; it is %s\n", r.Number, r.Verb, r.Name, r.Version, what)
	printNotes(stdio, r.Kept)
}

// refusal tells all reasons why a plan was refused, each with its remedy.
func refusal(stdio *stdio, err error) error {
	var refused unpack.Refused
	if !errors.As(err, &refused) {
		if errors.Is(err, unpack.ErrPending) {
			return &hintedError{err, "sandbox-install recover"}
		}
		return err
	}
	hints := make(map[string]bool)
	for _, one := range refused {
		place := ""
		if one.Path != "" {
			place = "/" + one.Path + ": "
		}
		fmt.Fprintf(stdio.err, "sandbox-install: %s%s\n", place, one.Reason)
		if one.Hint != "" && !hints[one.Hint] {
			hints[one.Hint] = true
			fmt.Fprintf(stdio.err, "hint: %s\n", one.Hint)
		}
	}
	fmt.Fprintln(stdio.err, "sandbox-install: refused; nothing was written")
	return statusError(exitRefused)
}

func recoverCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var staging string
	cmd := f.rebase.registerFollow(f.register(&cobra.Command{
		Use:   "recover [flags]",
		Short: "Finish or take back what a crash interrupted",
		Long: `Recover finishes or takes back what an interrupted unpack left in the root. It also
rolls back killed runs that were begun with --roll-back: everything in their scope
becomes what it was before, whoever changed it since.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(recoverRuns(cmd.Context(), stdio, staging), f.with(func(r *unpack.Root) error {
				recovery, err := r.Recover()
				printRecovery(stdio, recovery)
				return errors.Join(err, f.followRecovery(stdio, recovery))
			}))
		},
	}))
	cmd.Flags().StringVar(&staging, "staging", "", "the `DIR` that killed runs were given (default: the same as theirs)")
	return cmd
}
