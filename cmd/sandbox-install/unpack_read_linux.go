package main

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// exitDiffers says that something is not as it was installed, or has no owner.
const exitDiffers = 1

func historyCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "history [flags]",
		Short: "Print the transactions that were done in a root",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return f.with(func(r *unpack.Root) error {
				all, err := r.History()
				if err != nil {
					return err
				}
				for _, t := range all {
					verb := t.Verb
					if t.Undoes != 0 {
						verb = fmt.Sprintf("undo %d", t.Undoes)
					}
					_, err := fmt.Fprintf(stdio.out, "%d\t%s\t%s\t%s\t%s\n", t.Number, t.Time.Format(time.RFC3339), verb, t.Name, t.Version)
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}

func listCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "list [flags]",
		Short: "Print the packages of a root, NAME<TAB>VERSION",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return f.with(func(r *unpack.Root) error {
				all, err := r.Packages()
				if err != nil {
					return err
				}
				for _, rec := range all {
					if _, err := fmt.Fprintf(stdio.out, "%s\t%s\n", rec.Name(), rec.Packaged.Version); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}

func filesCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var null bool
	cmd := f.register(&cobra.Command{
		Use:   "files [flags] NAME",
		Short: "Print the paths that a package has",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			end := "\n"
			if null {
				end = "\x00"
			}
			return f.with(func(r *unpack.Root) error {
				rec, err := r.Package(args[0])
				if err != nil {
					return err
				}
				for i := range rec.Installed.Entries {
					e := &rec.Installed.Entries[i]
					if e.Op == plist.OpDelete {
						continue
					}
					if _, err := fmt.Fprint(stdio.out, absolute(e.Path), end); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
	cmd.Flags().BoolVarP(&null, "null", "0", false, "end paths with a NUL byte")
	return cmd
}

// absolute is an entry path as a process in the root would say it.
func absolute(path string) string {
	if path == "." {
		return "/"
	}
	return "/" + path
}

func ownerCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "owner [flags] PATH",
		Short: "Print the package that has a path of the root",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "" || args[0][0] != '/' {
				return usagef("owner %s: want an absolute path, as it is inside the root", args[0])
			}
			entry := strings.TrimPrefix(path.Clean(args[0]), "/")
			if entry == "" {
				entry = "."
			}
			return f.with(func(r *unpack.Root) error {
				names, err := r.Owners(entry)
				if err != nil {
					return err
				}
				for _, name := range names {
					if _, err := fmt.Fprintln(stdio.out, name); err != nil {
						return err
					}
				}
				if len(names) == 0 {
					fmt.Fprintf(stdio.err, "sandbox-install: %s belongs to no package\n", args[0])
					return statusError(exitDiffers)
				}
				return nil
			})
		},
	})
}

func checkCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "check [flags] [NAME...]",
		Short: "Compare packages with what is in the root; all of them without a NAME",
		Long: `Check prints a line for each path that is not as it was installed: what differs, a
tab, and the path. The exit status is 1 then, or if an interrupted transaction
waits for "recover".`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			return f.with(func(r *unpack.Root) error { return check(stdio, r, args) })
		},
	})
}

func check(stdio *stdio, r *unpack.Root, names []string) error {
	var status error
	pending, err := r.Pending()
	if err != nil {
		return err
	}
	if pending {
		fmt.Fprintln(stdio.err, "sandbox-install: a transaction was interrupted\nhint: sandbox-install recover")
		status = statusError(exitDiffers)
	}
	records, err := recordsOf(r, names)
	if err != nil {
		return err
	}
	for _, rec := range records {
		findings, err := r.Check(rec)
		if err != nil {
			return err
		}
		for _, one := range findings {
			status = statusError(exitDiffers)
			if _, err := fmt.Fprintf(stdio.out, "%s\t%s\n", one.What, absolute(one.Path)); err != nil {
				return err
			}
		}
	}
	return status
}

// recordsOf returns the records of the named packages, or of all.
func recordsOf(r *unpack.Root, names []string) ([]*unpack.Record, error) {
	if len(names) == 0 {
		return r.Packages()
	}
	var records []*unpack.Record
	for _, name := range names {
		rec, err := r.Package(name)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}
