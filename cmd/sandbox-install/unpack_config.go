package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/unpack"
)

func configCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	cmd := f.register(&cobra.Command{
		Use:   "config [flags]",
		Short: "Print the configuration that waits for being merged",
		Long: `Config prints the configuration files that you have changed and a new version of
their package has changed too: whether they merge without conflict, a tab, the
path, a tab and the package. Yours stay in their places until you decide.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error { return f.printWaiting(stdio) },
	})
	cmd.AddCommand(
		resolveCommand(stdio, unpack.ResolveMerge, "Merge your changes and the package's"),
		resolveCommand(stdio, unpack.ResolveMine, "Leave your configuration as it is"),
		resolveCommand(stdio, unpack.ResolvePackage, "Take the package's configuration; yours is kept"),
		showCommand(stdio),
	)
	return cmd
}

type waitingJSON struct {
	pathJSON
	Package string `json:"package"`
	State   string `json:"state"`
}

// stateOfMerge says how a merge would go, in a word.
func stateOfMerge(m *unpack.Merged) string {
	switch {
	case m.NoBase:
		return "no-base"
	case m.Conflicts > 0:
		return "conflict"
	}
	return "clean"
}

func (f *targetFlags) printWaiting(stdio *stdio) error {
	all := []waitingJSON{}
	err := f.with(func(r *unpack.Root) error {
		records, err := r.Packages()
		if err != nil {
			return err
		}
		for _, rec := range records {
			for i := range rec.Merges {
				m := &rec.Merges[i]
				merged, err := r.Merge(rec, m)
				if err != nil {
					return err
				}
				all = append(all, waitingJSON{pathForJSON(m.Path), rec.Name(), stateOfMerge(merged)})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(stdio.out, all)
	}
	for _, w := range all {
		if _, err := fmt.Fprintf(stdio.out, "%s\t%s\t%s\n", w.State, w.Path, w.Package); err != nil {
			return err
		}
	}
	return nil
}

// findWaiting returns the pending merge of a path and its package.
func findWaiting(r *unpack.Root, name string) (*unpack.Record, *unpack.Merge, error) {
	entry, err := entryPath("config", name)
	if err != nil {
		return nil, nil, err
	}
	records, err := r.Packages()
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range records {
		for i := range rec.Merges {
			if rec.Merges[i].Path == entry {
				return rec, &rec.Merges[i], nil
			}
		}
	}
	return nil, nil, fmt.Errorf("%s: does not wait for being merged", name)
}

func resolveCommand(stdio *stdio, how unpack.Resolution, short string) *cobra.Command {
	f := &targetFlags{}
	cmd := f.register(&cobra.Command{
		Use:   string(how) + " [flags] PATH",
		Short: short,
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var name string
			resolve := make(map[string]unpack.Resolution)
			err := f.with(func(r *unpack.Root) error {
				rec, m, err := findWaiting(r, args[0])
				if err == nil {
					name, resolve[m.Path] = rec.Name(), how
				}
				return err
			})
			if err != nil {
				return err
			}
			return f.change(stdio, changeVerb{
				plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanConfig(name, resolve) },
				do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Config(name, resolve) },
			})
		},
	})
	cmd.Flags().BoolVar(&f.dry, "plan", false, "print what would be done, and do nothing")
	return cmd
}

func showCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "show [flags] PATH",
		Short: "Print what merging would make, conflicts between markers",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return f.with(func(r *unpack.Root) error {
				rec, m, err := findWaiting(r, args[0])
				if err != nil {
					return err
				}
				merged, err := r.Merge(rec, m)
				if err != nil {
					return err
				}
				if merged.NoBase {
					return &hintedError{fmt.Errorf("%s: what it was changed from is not known", args[0]), "config mine or config package"}
				}
				if f.asJSON {
					return printJSON(stdio.out, map[string]any{"text": merged.Text, "conflicts": merged.Conflicts})
				}
				_, err = fmt.Fprint(stdio.out, merged.Text)
				return err
			})
		},
	})
}
