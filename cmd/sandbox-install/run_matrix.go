package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// A matrix says under which options a command is captured.
type matrix struct {
	options []string // NAME=ON,OFF
	file    string
}

func (m *matrix) register(fl *pflag.FlagSet) {
	fl.StringArrayVar(&m.options, "option", nil, "`NAME=ON,OFF`: run COMMAND with NAME=ON and with NAME=OFF in its environment, and merge")
	fl.StringVar(&m.file, "matrix", "", "run the commands in this `FILE`, \"OPTIONS: COMMAND\" a line, and merge")
}

func (m *matrix) wanted() bool { return len(m.options) > 0 || m.file != "" }

// A matrixRun is one of the runs.
type matrixRun struct {
	options string // that are on
	args    []string
	env     []string
}

func (m *matrix) runs(args []string) ([]matrixRun, error) {
	switch {
	case m.file == "" && len(args) == 0:
		return nil, errNoCommand
	case m.file == "":
		return optionRuns(m.options, args)
	case len(m.options) > 0 || len(args) > 0:
		return nil, usagef("--matrix: the file has the commands and their options")
	}
	runs, err := readMatrix(m.file)
	return runs, wrap(m.file, err)
}

// readMatrix reads lines of options, a colon and a command for sh(1).
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
		options = strings.Join(strings.FieldsFunc(options, func(c rune) bool { return c == ',' || unicode.IsSpace(c) }), ",")
		if !optionList.MatchString(options) { // it goes into names of files, and conditions of lists
			return nil, fmt.Errorf("line %d: %q: want the names of options, with commas between them", n, options)
		}
		runs = append(runs, matrixRun{options: options, args: []string{"sh", "-c", command}})
	}
	if len(runs) == 0 {
		return nil, errors.New("no run in it")
	}
	return runs, nil
}

var optionList = regexp.MustCompile(`^[A-Za-z0-9_.,+-]*$`)

var optionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// optionRuns makes a run for each assignment of a plan.
func optionRuns(options, args []string) ([]matrixRun, error) {
	names := make([]string, len(options))
	values := make([][2]string, len(options))
	for i, option := range options {
		name, value, given := strings.Cut(option, "=")
		if !optionName.MatchString(name) {
			return nil, usagef("--option %q: want NAME=ON,OFF, and a NAME that a shell can have", option)
		}
		on, off, _ := strings.Cut(value, ",")
		if !given {
			on = "yes"
		}
		names[i], values[i] = name, [2]string{off, on}
	}
	var runs []matrixRun
	for _, on := range plan(len(options)) {
		r := matrixRun{args: args}
		var chosen []string
		for i, name := range names {
			value := values[i][0]
			if on[i] {
				value = values[i][1]
				chosen = append(chosen, name)
			}
			r.env = append(r.env, name+"="+value)
		}
		r.options = strings.Join(chosen, ",")
		runs = append(runs, r)
	}
	return runs, nil
}

// maxAll is for how many options all assignments are tried.
const maxAll = 3

// plan returns the assignments to try: all of them if the options are few; else
// none, each one alone, all but each one, and all, which tells literals, pairs
// with and without one another, and alternatives apart.
func plan(n int) [][]bool {
	var plan [][]bool
	if n <= maxAll {
		for bits := range 1 << n {
			on := make([]bool, n)
			for i := range on {
				on[i] = bits&(1<<i) != 0
			}
			plan = append(plan, on)
		}
		return plan
	}
	for _, most := range []bool{false, true} {
		for other := -1; other < n; other++ {
			on := make([]bool, n)
			for i := range on {
				on[i] = most != (i == other)
			}
			plan = append(plan, on)
		}
	}
	return plan
}

// runMatrix captures each run by this program itself, with the flags that it was
// given, and merges the lists. The captures stay beside the merged list.
func (f *runFlags) runMatrix(ctx context.Context, stdio *stdio, flags *pflag.FlagSet, args []string) error {
	runs, err := f.matrix.runs(args)
	if err != nil {
		return err
	}
	format := f.pack.format.value
	if format == formatAuto {
		format = "pkgsrc"
	}
	if f.pack.asJSON || f.saved != "" || !slices.Contains(treeFormats, format) {
		return usagef("a matrix makes the list of a ports tree: no --json, --save-capture or --plist-format %s", format)
	}
	dir, err := f.workingDir()
	if err != nil {
		return err
	}
	if err := f.pack.prepare(workingDirs(dir, runs[0].args), runs[0].args[0]); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(f.pack.dir, ".matrix-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // only our own files
	var when []string
	for i, r := range runs {
		out := filepath.Join(work, strconv.Itoa(i))
		if err := os.Mkdir(out, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(stdio.err, "sandbox-install: with %q\n", r.options)
		flags := append(f.flagsOf(flags), "--output="+out, "--", r.args[0])
		cmd := exec.CommandContext(ctx, self, append(flags, r.args[1:]...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up
		cmd.Env = append(os.Environ(), r.env...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.in, stdio.out, stdio.err
		if err := cmd.Run(); err != nil {
			return failedRun(r, err)
		}
		when = append(when, r.options+":"+filepath.Join(out, f.base()+f.pack.compress.Suffix()))
	}
	if err := f.writeMatrix(stdio, format, when); err != nil {
		return err
	}
	return f.keepCaptures(when)
}

// base is how the names of all files begin.
func (f *runFlags) base() string { return f.pack.name + "-" + f.pack.version }

// flagsOf returns the command line of one run, up to where its files go.
func (f *runFlags) flagsOf(given *pflag.FlagSet) []string {
	args := []string{"run"}
	given.Visit(func(flag *pflag.Flag) {
		switch values, many := flag.Value.(pflag.SliceValue); {
		case slices.Contains([]string{"option", "matrix", "plist-format", "output", "name", "version"}, flag.Name):
		case many:
			for _, value := range values.GetSlice() {
				args = append(args, "--"+flag.Name+"="+value)
			}
		default:
			args = append(args, "--"+flag.Name+"="+flag.Value.String())
		}
	})
	return append(args, "--name="+f.pack.name, "--version="+f.pack.version, "--plist-format="+dialect.Native)
}

func failedRun(r matrixRun, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return statusError(exit.ExitCode()) // it has said what there was to say
	}
	return fmt.Errorf("%q with %q: %w", strings.Join(r.args, " "), r.options, err)
}

// writeMatrix writes the merged list, its fragments, and the Makefile's lines.
func (f *runFlags) writeMatrix(stdio *stdio, format string, when []string) error {
	merged, err := mergeFiles(stdio, format, when)
	if err != nil {
		return err
	}
	base := filepath.Join(f.pack.dir, f.base()+".")
	texts, err := mergedTexts(format, merged)
	if err != nil {
		return err
	}
	for name, text := range texts {
		if name == mainList(format) {
			name = "plist"
		}
		if err := writeFile(base+name, text, 0o644); err != nil {
			return err
		}
	}
	return writeMakefile(stdio, base+"mk", merged.Makefile(format))
}

// keepCaptures moves the tarballs to where the list is, under names that tell
// their options.
func (f *runFlags) keepCaptures(when []string) error {
	for _, w := range when {
		options, name, _ := strings.Cut(w, ":")
		to := f.base()
		if options != "" {
			to += "-" + strings.ReplaceAll(options, ",", "-")
		}
		if err := os.Rename(name, filepath.Join(f.pack.dir, to+f.pack.compress.Suffix())); err != nil {
			return err
		}
	}
	return nil
}
