package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

func plistCheckCommand(stdio *stdio) *cobra.Command {
	format := &oneOf{"pkgsrc", dialect.Formats()}
	makefile := ""
	cmd := &cobra.Command{
		Use:   "check [flags] [FILE...]",
		Short: "Report what a tree's reviewers would mind in a packing list",
		Long: `Check prints a line for each thing that the ports tree's own checks or reviewers
would send a packing list back for: FILE:LINE: SEVERITY: WHAT. The exit status is
1 if there is any. Without FILE it reads the standard input.

With --makefile it reads the port's Makefile too, and what that includes and is
there, and reports what the two do not agree on: conditions and variables that are
not defined, what files need to be declared, files that are declared and not listed.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"-"}
			}
			var m *dialect.Makefile
			if makefile != "" {
				var err error
				if m, err = dialect.ReadMakefile(makefile); err != nil {
					return err
				}
			}
			found := 0
			for _, arg := range args {
				n, err := checkFile(stdio, format.value, arg, m)
				if err != nil {
					return err
				}
				found += n
			}
			if found > 0 {
				return exitFindings
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&makefile, "makefile", "", "the port's Makefile, or its `DIR`")
	cmd.Flags().Var(format, "plist-format", "text form of the list")
	must(cmd.RegisterFlagCompletionFunc("plist-format", format.complete))
	return cmd
}

// checkFile prints the findings of one list and returns how many there are.
func checkFile(stdio *stdio, format, name string, m *dialect.Makefile) (int, error) {
	name, text, err := readText(stdio, []string{name})
	if err != nil {
		return 0, err
	}
	doc, err := dialect.Parse(format, text)
	if err != nil {
		return 0, err
	}
	findings, err := dialect.Check(doc, m)
	if err != nil {
		return 0, wrap(name, err)
	}
	for _, f := range findings {
		place := name
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d", name, f.Line)
		}
		if _, err := fmt.Fprintf(stdio.out, "%s: %s: %s\n", place, f.Severity, f.Text); err != nil {
			return 0, err
		}
	}
	return len(findings), nil
}
