package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// printCommand is "plist print".
func printCommand(stdio *stdio) *cobra.Command {
	flags := &printFlags{}
	cmd := &cobra.Command{
		Use:   "print FILE",
		Short: "Print the packing list of a tarball, or a native packing list",
		Long: `Print shows the packing list that a tarball holds.

With --changes it prints a record a path, OP<TAB>/ABSOLUTE/PATH, for scripts. OP is
A (added), M (content modified), m (only metadata), T (another type) or D (deleted).
Records end in a newline, or with -0 in a NUL byte.

With --by-program it prints the paths below the program that wrote them last, as a run
with --provenance saw it: its argv[0], then who started it, up to the command.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := readList(args[0])
			if err != nil {
				return err
			}
			return flags.print(stdio.out, l)
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&flags.byProgram, "by-program", false, "group the paths by the programs that wrote them")
	cmd.MarkFlagsMutuallyExclusive("by-program", "changes")
	cmd.MarkFlagsMutuallyExclusive("by-program", "plist-format")
	return cmd
}

// printFlags say how a list is printed. "plist print" and "diff" share them.
type printFlags struct {
	changes, null, all, byProgram bool
	format                        *oneOf
}

func (p *printFlags) register(cmd *cobra.Command) {
	p.format = &oneOf{"native", dialect.Formats()}
	f := cmd.Flags()
	f.BoolVar(&p.changes, "changes", false, "print OP<TAB>PATH records")
	f.BoolVarP(&p.null, "null", "0", false, "end records with a NUL byte")
	f.BoolVar(&p.all, "all", false, "also what is not packed: noise, shared, identical, outside the prefix")
	f.Var(p.format, "plist-format", "text form")
	must(cmd.RegisterFlagCompletionFunc("plist-format", p.format.complete))
}

// print prints a list that nobody needs afterwards.
func (p *printFlags) print(w io.Writer, l *plist.List) error {
	end := byte('\n')
	if p.null {
		end = 0
	}
	switch {
	case p.changes:
		return printChanges(w, l, p.all, end)
	case p.byProgram:
		return printByProgram(w, l, p.all, end)
	}
	if !p.all {
		l.Strip()
	}
	return dialect.Write(w, p.format.value, l)
}

// must is for what only a bug of ours can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// readList reads the packing list of a tarball, or one in the native form.
func readList(name string) (*plist.List, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	l, err := plist.ReadNative(f)
	if !errors.Is(err, plist.ErrNotNative) {
		return l, wrap(name, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, err := tarball.NewReader(f)
	if errors.Is(err, tarball.ErrNotTarball) {
		return nil, &hintedError{
			fmt.Errorf("%s: neither a tarball of sandbox-install nor a native packing list", name),
			"plist convert --from FORMAT --to FORMAT, plist check and plist diff read lists in other forms",
		}
	}
	if err != nil {
		return nil, wrap(name, err)
	}
	return r.List(), wrap(name, r.Close())
}

func wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// printChanges writes a record a path.
func printChanges(w io.Writer, l *plist.List, all bool, end byte) error {
	bw := bufio.NewWriter(w)
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.Changed == plist.ChangedLinks || !all && !e.Packed() {
			continue
		}
		// A bufio.Writer keeps its first error for Flush.
		fmt.Fprintf(bw, "%c\t%s%c", changeLetter(e), absolute(e.Path), end)
	}
	return bw.Flush()
}

// absolute is an entry path as a process in the root would say it.
func absolute(path string) string {
	if path == "." {
		return "/"
	}
	return "/" + path
}

// printByProgram writes the paths below the programs that wrote them, in the order in
// which these first come in the list.
func printByProgram(w io.Writer, l *plist.List, all bool, end byte) error {
	var order []string
	groups := make(map[string][]*plist.Entry)
	for i := range l.Entries {
		e := &l.Entries[i]
		if !all && !e.Packed() {
			continue
		}
		by := cmp.Or(strings.Join(e.By, " < "), "(nobody was seen)")
		if groups[by] == nil {
			order = append(order, by)
		}
		groups[by] = append(groups[by], e)
	}
	bw := bufio.NewWriter(w)
	for _, by := range order {
		fmt.Fprintf(bw, "%s%c", by, end)
		for _, e := range groups[by] {
			fmt.Fprintf(bw, "\t%c\t%s%c", changeLetter(e), absolute(e.Path), end)
		}
	}
	return bw.Flush()
}

// changeLetter says in one letter what happened to a path.
func changeLetter(e *plist.Entry) byte {
	switch {
	case e.Op == plist.OpAdd:
		return 'A'
	case e.Op == plist.OpDelete:
		return 'D'
	case e.Changed&plist.ChangedType != 0:
		return 'T'
	case e.Changed&plist.ChangedContent != 0:
		return 'M'
	}
	return 'm'
}
