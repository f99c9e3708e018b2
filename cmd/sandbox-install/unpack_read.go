package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// exitDiffers says that something is not as it was installed, or has no owner.
const exitDiffers = 1

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
				return printPackages(stdio, all, f.asJSON)
			})
		},
	})
}

type packageJSON struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Prefix      string `json:"prefix"`
	Transaction int    `json:"transaction"`
	Paths       int    `json:"paths"`
	Waiting     int    `json:"waiting"` // configuration files to merge
}

func printPackages(stdio *stdio, all []*unpack.Record, asJSON bool) error {
	if asJSON {
		told := []packageJSON{}
		for _, rec := range all {
			told = append(told, packageJSON{rec.Name(), rec.Packaged.Version, rec.Packaged.Prefix, rec.Transaction, len(rec.Installed.Entries), len(rec.Merges)})
		}
		return printJSON(stdio.out, told)
	}
	for _, rec := range all {
		if _, err := fmt.Fprintf(stdio.out, "%s\t%s\n", rec.Name(), rec.Packaged.Version); err != nil {
			return err
		}
	}
	return nil
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
				paths := []pathJSON{}
				for i := range rec.Installed.Entries {
					e := &rec.Installed.Entries[i]
					if e.Op == plist.OpDelete {
						continue
					}
					if paths = append(paths, pathForJSON(e.Path)); f.asJSON {
						continue
					}
					if _, err := fmt.Fprint(stdio.out, absolute(e.Path), end); err != nil {
						return err
					}
				}
				if f.asJSON {
					return printJSON(stdio.out, paths)
				}
				return nil
			})
		},
	})
	cmd.Flags().BoolVarP(&null, "null", "0", false, "end paths with a NUL byte")
	return cmd
}

func ownerCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "owner [flags] PATH",
		Short: "Print the package that has a path of the root",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			entry, err := entryPath("owner", args[0])
			if err != nil {
				return err
			}
			return f.with(func(r *unpack.Root) error {
				names, err := r.Owners(entry)
				if err != nil {
					return err
				}
				if f.asJSON {
					if err := printJSON(stdio.out, append([]string{}, names...)); err != nil {
						return err
					}
				}
				for _, name := range names {
					if f.asJSON {
						break
					}
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
	all := false
	cmd := f.register(&cobra.Command{
		Use:   "check [flags] [NAME...]",
		Short: "Compare packages with what is in the root; all of them without a NAME",
		Long: `Check prints a line for each path that is not as it was installed: what has become
of it (missing, back, or what differs), a tab, and the path. With --all it prints
the others too: packaged, as they came; rebased, moved images; kept, yours that
stayed when the package came; merging, configuration that waits for "config". The
exit status is 1 if anything is not as it was installed, if the history was
changed, or if an interrupted transaction waits for "recover".`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			return f.with(func(r *unpack.Root) error {
				c := &checker{stdio: stdio, asJSON: f.asJSON, all: all, found: []findingJSON{}}
				return c.check(r, args)
			})
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "print what is as it was installed, too")
	return cmd
}

// A checker prints what Root.Check finds.
type checker struct {
	stdio       *stdio
	asJSON, all bool
	found       []findingJSON
	status      error
}

type findingJSON struct {
	pathJSON
	Package string `json:"package"`
	State   string `json:"state"`
	Changed string `json:"changed,omitempty"`
}

func (c *checker) check(r *unpack.Root, names []string) error {
	pending, err := r.Pending()
	if err != nil {
		return err
	}
	if pending {
		c.complain("a transaction was interrupted\nhint: sandbox-install recover")
	}
	bad, err := r.VerifyHistory()
	if err != nil {
		return err
	}
	if bad != 0 {
		c.complain(fmt.Sprintf("transaction %d of the history is not as it was written", bad))
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
		for i := range findings {
			if err := c.print(rec.Name(), &findings[i]); err != nil {
				return err
			}
		}
	}
	if c.asJSON {
		return errors.Join(printJSON(c.stdio.out, c.found), c.status)
	}
	return c.status
}

func (c *checker) complain(what string) {
	fmt.Fprintln(c.stdio.err, "sandbox-install:", what)
	c.status = statusError(exitDiffers)
}

func (c *checker) print(name string, f *unpack.Finding) error {
	if f.IsFault() {
		c.status = statusError(exitDiffers)
	} else if !c.all {
		return nil
	}
	if c.asJSON {
		c.found = append(c.found, findingJSON{pathForJSON(f.Path), name, string(f.State), f.Changed.String()})
		return nil
	}
	what := string(f.State)
	if f.State == unpack.StateModified {
		what = f.Changed.String()
	}
	_, err := fmt.Fprintf(c.stdio.out, "%s\t%s\n", what, absolute(f.Path))
	return err
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
