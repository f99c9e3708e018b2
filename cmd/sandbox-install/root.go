package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// version is set by the linker from the tag that is built.
var version = "devel"

// rootCommand is the command line. Without a sub-command it runs what follows
// "--".
func rootCommand(io *stdio) *cobra.Command {
	runner := &runFlags{}
	root := &cobra.Command{
		Use:   "sandbox-install [flags] -- COMMAND...",
		Short: "Run an installation without touching the system, and package what it wrote",
		Long: `sandbox-install runs an installation (make install, a vendor's setup program,
dpkg -i, npm -g) so that it sees the whole system but changes none of it. What
it wrote becomes a packing list and a tarball.

	sandbox-install run -- make install

is the same as sandbox-install -- make install.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0 && dash < 0:
				return cmd.Help()
			case dash != 0:
				return &hintedError{usagef("unknown command %q", args[0]), "--help shows the commands; what is to be run stands behind dashes: sandbox-install -- " + strings.Join(args, " ")}
			}
			return runner.run(cmd.Context(), io, args)
		},
	}
	root.SetFlagErrorFunc(wrongUsage)
	runner.register(root)
	root.AddCommand(runCommand(io), packCommand(io), probeCommand(io), snapshotCommand(io), diffCommand(io), plistCommand(io), rebaseCommand(io), manCommand(), versionCommand(io))
	root.AddCommand(unpackCommands(io)...)
	return root
}

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Section: "1", Source: "sandbox-install " + version}
			cmd.Root().DisableAutoGenTag = true // no date: the same program, the same page
			return doc.GenManTree(cmd.Root(), header, args[0])
		},
	}
}

func versionCommand(io *stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of sandbox-install",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(io.out, version)
			return err
		},
	}
}

// wrongUsage is an error on the command line of a command, which tells of its help.
func wrongUsage(cmd *cobra.Command, err error) error {
	return &hintedError{&usageError{err}, cmd.CommandPath() + " --help"}
}

// exactArgs wants the n arguments that the command's line of usage names.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, names, _ := strings.Cut(strings.Replace(cmd.Use, " [flags]", "", 1), " ")
		switch {
		case len(args) < n:
			return wrongUsage(cmd, fmt.Errorf("%s: want %s", cmd.Name(), names))
		case len(args) > n:
			return wrongUsage(cmd, fmt.Errorf("%s: %q is one argument too many", cmd.Name(), args[n]))
		}
		return nil
	}
}

// errNoCommand is also what "run" says of nothing after the dashes.
var errNoCommand = &usageError{errors.New("no command to run: sandbox-install run [flags] -- COMMAND")}

// oneOf is a flag that takes one of a few words.
type oneOf struct {
	value   string
	allowed []string
}

func (f *oneOf) String() string { return f.value }
func (f *oneOf) Type() string   { return strings.Join(f.allowed, "|") }

func (f *oneOf) Set(s string) error {
	for _, word := range f.allowed {
		if s == word {
			f.value = s
			return nil
		}
	}
	return errors.New("want one of " + strings.Join(f.allowed, ", "))
}

// complete offers the words to a shell.
func (f *oneOf) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return f.allowed, cobra.ShellCompDirectiveNoFileComp
}
