package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

func plistUpdateCommand(stdio *stdio) *cobra.Command {
	var from string
	var vars []string
	var write bool
	format := &oneOf{"pkgsrc", treeFormats}
	cmd := &cobra.Command{
		Use:   "update OLD --from CAPTURE",
		Short: "Bring a packing list up to date with a new capture",
		Long: `Update prints the list OLD with as few lines changed as the capture asks for:
comments, commands, order, variables and conditions stay where they still hold.
What vanished, what is new, and what the capture could not confirm is told.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if from == "" {
				return usagef("update from what? --from CAPTURE")
			}
			updated, err := updateList(format.value, args[0], from, vars)
			if err != nil {
				return err
			}
			tellUpdate(stdio.err, updated)
			if !write {
				_, err := updated.Document.WriteTo(stdio.out)
				return err
			}
			old, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			file, err := create(args[0], old.Mode().Perm())
			if err != nil {
				return err
			}
			defer file.discard()
			if err := file.Chmod(old.Mode().Perm()); err != nil { // whatever the umask
				return err
			}
			if _, err := updated.Document.WriteTo(file); err != nil {
				return err
			}
			return file.commit()
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "tarball or native list of the new capture")
	f.StringArrayVar(&vars, "var", nil, "NAME=VALUE: a variable of the tree")
	f.BoolVarP(&write, "write", "w", false, "write the result to OLD instead of printing it")
	f.Var(format, "plist-format", "text form of OLD")
	must(cmd.RegisterFlagCompletionFunc("plist-format", format.complete))
	return cmd
}

func updateList(format, old, from string, args []string) (*dialect.Updated, error) {
	text, err := os.ReadFile(old)
	if err != nil {
		return nil, err
	}
	doc, err := dialect.Parse(format, string(text))
	if err != nil {
		return nil, err
	}
	l, facts, err := inspect(from)
	if err != nil {
		return nil, wrap(from, err)
	}
	port, err := dialect.NewPort(format, l, facts)
	if err != nil {
		return nil, err
	}
	vars, err := variables(format, []*dialect.Port{port}, args)
	if err != nil {
		return nil, err
	}
	updated, err := dialect.Update(doc, port.Items, vars)
	return updated, wrap(old, err)
}

func tellUpdate(w io.Writer, u *dialect.Updated) {
	for _, told := range []struct {
		word    string
		remarks []dialect.Remark
	}{{"gone", u.Gone}, {"added", u.Added}, {"kept", u.Kept}} {
		for _, r := range told.remarks {
			fmt.Fprintf(w, "%s: %s: %s\n", told.word, r.Path, r.Text)
		}
	}
}

func plistDiffCommand(stdio *stdio) *cobra.Command {
	format := &oneOf{"pkgsrc", treeFormats}
	cmd := &cobra.Command{
		Use:   "diff FIRST SECOND",
		Short: "Compare two captures, or two packing lists",
		Long: `Diff prints a line for each path that two captures or two lists do not say the
same of: - only in the first, + only in the second, ~ in both, and what differs.
Paths are below the prefix, so that prefixes may differ. The exit status is 1 if
there is any difference.`,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			differences, err := diffFiles(format.value, args[0], args[1])
			if err != nil {
				return err
			}
			for _, d := range differences {
				if _, err := fmt.Fprintln(stdio.out, d); err != nil {
					return err
				}
			}
			if len(differences) > 0 {
				return exitFindings
			}
			return nil
		},
	}
	cmd.Flags().Var(format, "plist-format", "text form of lists that are no captures")
	must(cmd.RegisterFlagCompletionFunc("plist-format", format.complete))
	return cmd
}

// diffFiles compares two captures by all they hold, anything else by its items.
func diffFiles(format, first, second string) ([]dialect.Difference, error) {
	a, err := os.ReadFile(first)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(second)
	if err != nil {
		return nil, err
	}
	if isCapture(a) && isCapture(b) {
		x, err := readList(first)
		if err != nil {
			return nil, err
		}
		y, err := readList(second)
		if err != nil {
			return nil, err
		}
		return dialect.DiffLists(x, y), nil
	}
	x, err := readPort(format, first)
	if err != nil {
		return nil, err
	}
	y, err := readPort(format, second)
	if err != nil {
		return nil, err
	}
	return dialect.DiffItems(x.Items, y.Items), nil
}
