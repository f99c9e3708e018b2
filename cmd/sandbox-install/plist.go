package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// plistCommand is "plist": work on packing lists.
func plistCommand(stdio *stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plist",
		Short: "Print, convert, check, compare, write and merge packing lists",
	}
	cmd.AddCommand(printCommand(stdio), plistConvertCommand(stdio), plistCheckCommand(stdio), plistDiffCommand(stdio),
		plistPortCommand(stdio), plistDepsCommand(stdio), plistUpdateCommand(stdio), plistMergeCommand(stdio))
	return cmd
}

func plistConvertCommand(stdio *stdio) *cobra.Command {
	from := &oneOf{allowed: dialect.Formats()}
	to := &oneOf{allowed: dialect.Formats()}
	cmd := &cobra.Command{
		Use:   "convert --from FORMAT --to FORMAT [FILE]",
		Short: "Rewrite a packing list in another text form",
		Long: `Convert reads a packing list from FILE or the standard input and prints it in
another text form. In the same form it comes back byte for byte. What the other
form cannot say is an error that names the line and the entry.`,
		Args: maximumArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if from.value == "" || to.value == "" {
				return usagef("--from and --to are both needed")
			}
			name, text, err := readText(stdio, args)
			if err != nil {
				return err
			}
			return wrap(name, dialect.Convert(stdio.out, from.value, to.value, text))
		},
	}
	cmd.Flags().Var(from, "from", "text form of FILE")
	cmd.Flags().Var(to, "to", "text form to print")
	for _, flag := range []string{"from", "to"} {
		must(cmd.RegisterFlagCompletionFunc(flag, from.complete))
	}
	return cmd
}

// readText reads the file that args name, or the standard input.
func readText(stdio *stdio, args []string) (name, text string, err error) {
	if len(args) == 0 || args[0] == "-" {
		b, err := io.ReadAll(stdio.in)
		return "standard input", string(b), err
	}
	b, err := os.ReadFile(args[0])
	return args[0], string(b), err
}

// maximumArgs is cobra.MaximumNArgs as a usage error.
func maximumArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return wrongUsage(cmd, fmt.Errorf("%s: %q is one argument too many", cmd.Name(), args[n]))
		}
		return nil
	}
}
