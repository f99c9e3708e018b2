package main

import (
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

func plistPortCommand(stdio *stdio) *cobra.Command {
	var vars []string
	var makefile string
	format := &oneOf{"pkgsrc", treeFormats}
	cmd := &cobra.Command{
		Use:   "port [flags] CAPTURE [OTHER]",
		Short: "Print the list that a porter would commit, and its Makefile lines",
		Long: `Port puts what a capture packs into the idiom of a ports tree: types by content,
manual pages as the tree compresses them, libtool archives for their libraries,
samples for configuration files, no junk (with the reason), variables for values.

With OTHER, a capture of another version, prefix, machine or language version, a
value becomes a variable exactly where the two differ. With one capture alone it
does so only where nothing else is likely. What stays open is told.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("%d arguments, want one or two captures", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			port, err := newPort(format.value, args, vars)
			if err != nil {
				return err
			}
			tellPorts(stdio, port)
			if err := writeMakefile(stdio, makefile, port.Makefile); err != nil {
				return err
			}
			return dialect.WriteItems(stdio.out, format.value, port.Items)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&vars, "var", nil, "NAME=VALUE, or NAME=VALUE,OTHERVALUE: another variable of the tree")
	f.StringVar(&makefile, "makefile", "", "write the lines for the Makefile to this file, not to the standard error")
	f.Var(format, "plist-format", "the ports tree")
	must(cmd.RegisterFlagCompletionFunc("plist-format", format.complete))
	return cmd
}

// tellPorts tells once what was dropped, and what is to be looked at.
func tellPorts(stdio *stdio, ports ...*dialect.Port) {
	told := make(map[string]bool)
	tell := func(line string) {
		if !told[line] {
			told[line] = true
			fmt.Fprintln(stdio.err, line)
		}
	}
	for _, port := range ports {
		for _, r := range port.Dropped {
			tell(fmt.Sprintf("dropped: %s: %s", r.Path, r.Text))
		}
		for _, r := range port.Remarks {
			tell("note: " + strings.TrimPrefix(r.Path+": "+r.Text, ": "))
		}
	}
}

// newPort makes the list of the first capture, with the variables that it and
// the second one show.
func newPort(format string, names, vars []string) (*dialect.Port, error) {
	var ports []*dialect.Port
	for _, name := range names {
		l, facts, err := inspect(name)
		if err != nil {
			return nil, wrap(name, err)
		}
		port, err := dialect.NewPort(format, l, facts)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	values, err := variables(format, ports, vars)
	if err != nil {
		return nil, err
	}
	var other *dialect.Port
	if len(ports) > 1 {
		other = ports[1]
	}
	ports[0].Substitute(other, values)
	return ports[0], nil
}

// variables are those that the captures show, and those that args give.
func variables(format string, ports []*dialect.Port, args []string) ([]dialect.Variable, error) {
	vars := dialect.VariablesOf(format, ports...)
	for _, arg := range args {
		name, values, ok := strings.Cut(arg, "=")
		if !ok || name == "" || values == "" {
			return nil, usagef("--var %q: want NAME=VALUE", arg)
		}
		v := dialect.Variable{Name: name, Values: strings.Split(values, ","), Dir: strings.Contains(values, "/")}
		if len(v.Values) > len(ports) {
			return nil, usagef("--var %q: more values than captures", arg)
		}
		vars = append(vars, v)
	}
	return vars, nil
}

// inspect reads a list and, of a tarball, what its files are.
func inspect(name string) (*plist.List, dialect.Facts, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	l, err := plist.ReadNative(f)
	if !errors.Is(err, plist.ErrNotNative) {
		return l, nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	r, err := tarball.NewReader(f)
	if err != nil {
		return nil, nil, err
	}
	facts, err := dialect.Inspect(r.List(), r)
	return r.List(), facts, errors.Join(err, r.Close())
}
