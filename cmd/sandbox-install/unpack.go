package main

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/tarball"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// targetFlags say which root is changed, and how.
type targetFlags struct {
	root   string
	state  string
	base   []string
	policy unpack.Policy
	take   []string
	config []string
	rebase rebaseOption
	setID  bool
	dry    bool
	asJSON bool

	rebased *rebasedCapture // of the package to be unpacked, if that is asked for
}

// unpackCommands are the commands that change or read a root of packages.
func unpackCommands(io *stdio) []*cobra.Command {
	return []*cobra.Command{
		unpackCommand(io), planCommand(io), replaceCommand(io), removeCommand(io), configCommand(io), regenCommand(io),
		undoCommand(io), rollbackCommand(io), recoverCommand(io), pruneCommand(io),
		historyCommand(io), listCommand(io), filesCommand(io), ownerCommand(io), checkCommand(io),
	}
}

func (f *targetFlags) register(cmd *cobra.Command) *cobra.Command {
	fl := cmd.Flags()
	fl.StringVar(&f.root, "root", "/", "the root that packages are unpacked over, a `DIR`")
	fl.StringVar(&f.state, "state", unpack.DefaultState, "state directory, a `PATH` inside the root")
	fl.StringArrayVar(&f.base, "base", nil, "state `DIR` of a layer below, whose packages own their paths here too; may be repeated")
	fl.BoolVar(&f.asJSON, "json", false, "print the result as JSON on standard output")
	must(cmd.MarkFlagDirname("root"))
	return cmd
}

// registerYours adds the flags that say what becomes of the user's own files.
func (f *targetFlags) registerYours(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.policy.Save, "save", false, "let files of yours give way; they are kept")
	fl.BoolVar(&f.policy.KeepMine, "keep-mine", false, "leave files of yours in place, and the package's out")
}

func (f *targetFlags) registerPolicy(cmd *cobra.Command) *cobra.Command {
	f.registerYours(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.config, "config", nil, "what matches this `GLOB` (of absolute paths) is configuration, and only that (default: what is in etc)")
	fl.BoolVar(&f.dry, "plan", false, "print what would be done, and do nothing")
	return f.register(cmd)
}

// complete checks the flags and makes the policy of them.
func (f *targetFlags) complete() error {
	f.policy.NoSetID = !f.setID
	if f.policy.Save && f.policy.KeepMine {
		return usagef("--save and --keep-mine: want one of them")
	}
	for _, p := range f.take {
		entry, err := entryPath("--take", p)
		if err != nil {
			return err
		}
		f.policy.Take = append(f.policy.Take, entry)
	}
	if f.config == nil {
		return nil
	}
	if err := (&capture.Policy{Include: f.config}).Check(); err != nil {
		return &usageError{err}
	}
	f.policy.Config = func(path string) bool { return capture.MatchAny(f.config, "/"+path) }
	return nil
}

// entryPath is the path of an entry that a person gives as it is inside the root.
func entryPath(what, p string) (string, error) {
	if p == "" || p[0] != '/' {
		return "", usagef("%s %s: want an absolute path, as it is inside the root", what, p)
	}
	if entry := strings.TrimPrefix(path.Clean(p), "/"); entry != "" {
		return entry, nil
	}
	return ".", nil
}

// with opens the root and calls do with it.
func (f *targetFlags) with(do func(*unpack.Root) error) error {
	r, err := unpack.Open(f.root, unpack.Options{State: f.state, Base: f.base})
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

// registerUnpack adds the flags of the verbs that take a package.
func (f *targetFlags) registerUnpack(cmd *cobra.Command) *cobra.Command {
	f.registerPolicy(cmd)
	f.rebase.register(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.setID, "set-id", false, "let the package bring programs that run with the rights of others: with set-id bits or capabilities")
	fl.BoolVar(&f.policy.Devices, "devices", false, "let the package bring device nodes")
	fl.StringArrayVar(&f.take, "take", nil, "let the package have this `PATH` of another package, which gets it back with the removal")
	fl.BoolVar(&f.policy.KeepLibs, "keep-libs", false, "leave shared libraries that the new version has not any more and other packages need")
	return cmd
}

func unpackCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.registerUnpack(&cobra.Command{
		Use:   "unpack [flags] FILE",
		Short: "Put a package over a root: all of it, or nothing",
		Long: `Unpack puts what a tarball of "run" holds over a root directory, in the place of
the package of the same name if there is one. What was in the way is kept, and
comes back with "remove" or "undo". Configuration that you have changed stays as it
is; if the package's has changed too, "config" merges them.

If the package or the root forbid it, nothing is written and the exit status is 3.
If the program or the machine is stopped on the way, the next command, or
"recover", finishes what was committed and takes everything else back.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.unpack(cmd.Context(), stdio, args[0]) },
	})
}

func replaceCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.registerUnpack(&cobra.Command{
		Use:   "replace [flags] FILE",
		Short: "Put another version of an installed package in its place",
		Long: `Replace is "unpack" of a package that is installed, and refuses others. It tells
which packages need shared libraries that the new version has not any more;
--keep-libs leaves those.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.policy.Replace = true
			return f.unpack(cmd.Context(), stdio, args[0])
		},
	})
}

func planCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.registerUnpack(&cobra.Command{
		Use:   "plan [flags] FILE",
		Short: "Print what unpack would do",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.dry = true
			return f.unpack(cmd.Context(), stdio, args[0])
		},
	})
}

// unpack opens a tarball and puts it over the root.
func (f *targetFlags) unpack(ctx context.Context, stdio *stdio, name string) error {
	if err := f.complete(); err != nil {
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	tar, err := tarball.NewReader(file)
	if err != nil {
		return wrap(name, err)
	}
	files := capturedFiles{list: tar.List(), tree: tar}
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
			if err := f.complete(); err != nil {
				return err
			}
			return f.change(stdio, changeVerb{
				plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanRemove(args[0], f.policy) },
				do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Remove(args[0], f.policy) },
			})
		},
	}))
}
