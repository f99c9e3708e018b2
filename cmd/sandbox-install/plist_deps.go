package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
)

func plistDepsCommand(stdio *stdio) *cobra.Command {
	var buildInfo bool
	cmd := &cobra.Command{
		Use:   "deps CAPTURE",
		Short: "Print what a package's files provide and require",
		Long: `Deps reads the objects, scripts and pkg-config files of a tarball and prints what
others can find in them, and what they want to find in other packages: sonames
with symbol versions, interpreters, commands, DLLs, modules, and a machine for the
objects.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, facts, err := inspect(args[0])
			if err != nil {
				return wrap(args[0], err)
			}
			if facts != nil { // a native list has what was recorded in it
				facts.Depend(l)
			}
			var lines []string
			if buildInfo {
				lines = facts.BuildInfo(l)
			} else {
				lines = append(dependencyLines("provides", l.Provides), dependencyLines("requires", l.Requires)...)
			}
			for _, line := range lines {
				if _, err := fmt.Fprintln(stdio.out, line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&buildInfo, "build-info", false, "as pkgsrc's +BUILD_INFO has it: OBJECT_FMT, PROVIDES, REQUIRES")
	return cmd
}

func dependencyLines(verb string, dependencies []plist.Dependency) []string {
	var lines []string
	for _, d := range dependencies {
		line := fmt.Sprintf("%s %s %s", verb, d.Kind, d.Name)
		if d.Version != "" {
			line += " " + d.Version
		}
		lines = append(lines, line)
	}
	return lines
}
