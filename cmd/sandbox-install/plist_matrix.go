package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// matrixFlags are those of the runs that a matrix makes.
type matrixFlags struct {
	mergeOutput
	method, prefix, name, version string
}

func plistMatrixCommand(stdio *stdio) *cobra.Command {
	flags := &matrixFlags{}
	cmd := &cobra.Command{
		Use:   "matrix [flags] FILE",
		Short: "Capture an installation under several sets of options, and merge the lists",
		Long: `Matrix runs a command for each line of FILE and merges what they install, as
merge does. A line has the options that are on, a colon, and a command for sh(1):

	nls,doc: make install NLS=1 DOC=1
	nls:     make install NLS=1
	:        make install

Empty lines and those that begin with # are passed over.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			runs, err := readMatrix(args[0])
			if err != nil {
				return wrap(args[0], err)
			}
			return flags.run(cmd.Context(), stdio, runs)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&flags.method, "method", "auto", "how to capture")
	cmd.Flags().StringVar(&flags.prefix, "prefix", "/", "where the package lives")
	cmd.Flags().StringVar(&flags.name, "name", "package", "name of the package")
	cmd.Flags().StringVar(&flags.version, "version", "0", "its version")
	return cmd
}

// A matrixRun is a line of the file.
type matrixRun struct{ options, command string }

func readMatrix(name string) ([]matrixRun, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var runs []matrixRun
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		options, command, ok := strings.Cut(line, ":")
		if command = strings.TrimSpace(command); !ok || command == "" {
			return nil, fmt.Errorf("line %d: want OPTIONS: COMMAND", n)
		}
		runs = append(runs, matrixRun{strings.TrimSpace(options), command})
	}
	return runs, nil
}

// run captures each line by this program itself, and merges the lists.
func (f *matrixFlags) run(ctx context.Context, stdio *stdio, runs []matrixRun) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sandbox-install-matrix-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // only our own files, in the temporary directory
	var when []string
	for i, r := range runs {
		out := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(out, 0o700); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, self, "run", "--name", f.name, "--version", f.version, "--prefix", f.prefix, "--method", f.method,
			"--plist-format", "native", "--compress", "none", "-o", out, "--", "sh", "-c", r.command)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.in, stdio.err, stdio.err
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%q with %q: %w", r.command, r.options, err)
		}
		when = append(when, r.options+":"+filepath.Join(out, f.name+"-"+f.version+".tar"))
	}
	return f.merge(stdio, when)
}
