package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// runFlags are the flags of "run": how to capture, and how to pack the result.
type runFlags struct {
	pack       packFlags
	method     *oneOf
	network    *oneOf
	isolate    *oneOf
	root       string
	chdir      string
	staging    string
	saved      string
	provenance *oneOf
	shareRun   bool
	keepFailed bool
	verbose    bool
	matrix     matrix
}

func runCommand(io *stdio) *cobra.Command {
	flags := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND...",
		Short: "Run an installation under a capture method and package what it wrote",
		Long: `Run starts COMMAND so that it sees the whole system, writable and in its usual
places, while every write goes elsewhere. Then it writes NAME-VERSION.plist and
NAME-VERSION.tar.zst into the output directory.

The exit status is the command's own; 125 if sandbox-install itself failed, 126
or 127 if the command could not be started, 2 for a wrong command line. If the
command fails nothing is written unless --keep-failed is given.

With --option or --matrix, COMMAND is run several times, each time in the same clean
room (with --root) or on the same system, and the lists are merged into that of a
ports tree: each entry stands under the smallest condition that agrees with all
runs. NAME-VERSION.mk has the lines for the Makefile, and NAME-VERSION-OPTIONS.tar.zst
what each run installed.

	sandbox-install run --option nls=--enable-nls,--disable-nls -- \
		sh -c './configure $nls && make && make install'

With --base, what belongs to a package already is not packed. ` + baseHelp + `

SOURCE_DATE_EPOCH, if set, is the latest time that any packed file will have.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.matrix.wanted() {
				return flags.runMatrix(cmd.Context(), io, cmd.Flags(), args)
			}
			return flags.run(cmd.Context(), io, args)
		},
	}
	flags.register(cmd)
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command) {
	f.method = &oneOf{"auto", methodNames()}
	f.network = &oneOf{"host", []string{"host", "none"}}
	f.isolate = &oneOf{"namespaces", []string{"namespaces", "container"}}
	f.provenance = &oneOf{provenanceOff, []string{provenanceOff, provenanceList, provenanceTarball}}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // flags after the command are the command's
	fl.Var(f.method, "method", "capture method")
	fl.StringVar(&f.root, "root", "", "run inside another root file system: a directory, or a tar archive (.tar, .tar.gz, .tar.zst)")
	fl.StringVar(&f.chdir, "chdir", "", "working directory of the command (default: this one; / with --root)")
	fl.StringVar(&f.staging, "staging", "", "directory to keep writes in during the run (default: one that works)")
	fl.StringVar(&f.saved, "save-capture", "", "also write the whole capture, noise included, to this `FILE` for \"sandbox-install pack\"")
	fl.BoolVar(&f.shareRun, "share-run", false, "let the command reach host daemons through /run")
	fl.Var(f.network, "network", "network of the command")
	fl.Var(f.isolate, "isolate", "how far to keep the command from the machine")
	fl.Var(f.provenance, "provenance", "record which program wrote each path last: in a native list, or also in the tarball's")
	fl.Lookup("provenance").NoOptDefVal = provenanceList
	fl.BoolVar(&f.keepFailed, "keep-failed", false, "write the files although the command failed")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "say which methods were passed over and why, and what is being done")
	for name, words := range map[string]*oneOf{"method": f.method, "network": f.network, "isolate": f.isolate, "provenance": f.provenance} {
		must(cmd.RegisterFlagCompletionFunc(name, words.complete))
	}
	f.matrix.register(fl)
	registerHashdiff(fl)
	registerTrace(fl)
	f.pack.register(cmd)
}

// run captures the command, packs what it did, and passes its status on.
func (f *runFlags) run(ctx context.Context, stdio *stdio, args []string) error {
	if len(args) == 0 {
		return errNoCommand
	}
	dir, err := f.workingDir()
	if err != nil {
		return err
	}
	if err := f.pack.prepare(workingDirs(dir, args), args[0]); err != nil {
		return err
	}
	if f.saved != "" {
		if err := mayCreate(f.saved); err != nil {
			return &usageError{fmt.Errorf("--save-capture: %w", err)}
		}
	}
	if err := f.placeProvenance(); err != nil {
		return err
	}
	verbose := io.Discard
	if f.verbose {
		verbose = stdio.err
	}
	method, err := chooseMethod(ctx, f.method.value, f.root, verbose)
	if err != nil {
		return err
	}
	fmt.Fprintf(verbose, "sandbox-install: capturing by %s\n", method.Name())
	if err := checkLive(stdio.err, method, f.root); err != nil {
		return err
	}

	root, err := openRoot(ctx, f.root, f.staging)
	if err != nil {
		return err
	}
	f.pack.policy.BuildDirs = buildDirs(root.dir, dir, args)
	if err := f.pack.base.load(cmp.Or(root.dir, hashdiff.SystemRoot(dir))); err != nil {
		return errors.Join(err, root.remove())
	}
	step, end := progress(stdio.err, "reading what was written")
	result, err := method.Run(ctx, f.command(args, dir, root.dir, stdio, step))
	commandRuns.Store(false)
	end()
	if err != nil {
		return errors.Join(err, root.remove())
	}
	closeResult := sync.OnceValue(result.Close)
	f.pack.classify(result.List)
	if err = addShared(ctx, result, root.dir); err == nil {
		err = f.finish(ctx, stdio, method, result, func() { _ = closeResult() })
	}
	return errors.Join(err, closeResult(), root.remove())
}

func (f *runFlags) command(args []string, dir, root string, stdio *stdio, step func(int)) capture.Command {
	c := capture.Command{
		Args: args, Env: os.Environ(), Dir: dir,
		Stdin: stdio.in, Stdout: stdio.out, Stderr: stdio.err,
		Root: root, Staging: f.staging,
		Provenance: f.provenance.value != provenanceOff,
		ShareRun:   f.shareRun, NoNetwork: f.network.value == "none",
		Notice:   func(text string) { fmt.Fprintln(stdio.err, "sandbox-install: "+text) },
		Started:  func() { commandRuns.Store(true) },
		Ended:    func() { commandRuns.Store(false) },
		Progress: step,
	}
	if f.isolate.value == "container" {
		c.Isolate = capture.IsolateContainer
	}
	if f.pack.asJSON {
		c.Stdout = stdio.err // standard output carries the summary alone
	}
	if f.verbose {
		c.Log = slog.New(slog.NewTextHandler(stdio.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

// The values of --provenance.
const (
	provenanceOff     = "off"
	provenanceList    = "list"
	provenanceTarball = "tarball"
)

// placeProvenance finds something to write that tells of programs: only the native
// form does.
func (f *runFlags) placeProvenance() error {
	format := &f.pack.format.value
	switch {
	case f.provenance.value != provenanceList, *format == dialect.Native:
	case *format == formatAuto:
		*format = dialect.Native
	case f.saved != "":
	default:
		return usagef("--provenance: a list in the form %s can not tell it; --provenance=tarball, or --save-capture, can", *format)
	}
	return nil
}

// workingDir is where the command starts, inside its root.
func (f *runFlags) workingDir() (string, error) {
	switch {
	case f.chdir != "":
		if !filepath.IsAbs(f.chdir) {
			return "", usagef("--chdir %s: want an absolute path", f.chdir)
		}
		return f.chdir, nil
	case f.root != "":
		return "/", nil
	}
	return os.Getwd()
}

// finish writes what was captured, if it is to be kept, and returns the
// command's status.
func (f *runFlags) finish(ctx context.Context, stdio *stdio, method capture.Method, result *capture.Result, release func()) error {
	s := &summary{Method: method.Name(), ExitStatus: result.ExitCode, Blind: result.Blind, Notes: result.List.Notes}
	failed := result.ExitCode != 0
	if failed && !f.keepFailed {
		var err error
		fmt.Fprintf(stdio.err, "sandbox-install: the command ended with status %d; nothing was written\n", result.ExitCode)
		fmt.Fprintln(stdio.err, "hint: "+f.failedHint(method, result.Hint))
		if f.pack.asJSON {
			s.count(result.List)
			err = s.print(stdio, true)
		}
		return errors.Join(err, statusError(result.ExitCode))
	}
	if f.saved != "" {
		if err := f.pack.save(ctx, stdio, f.saved, result); err != nil {
			return err
		}
	}
	f.pack.provenance = f.provenance.value
	if err := f.pack.pack(ctx, stdio, s, capturedFiles{result.List, result.Tree, release}); err != nil {
		return err
	}
	if failed {
		return statusError(result.ExitCode)
	}
	return nil
}

// failedHint is the remedy for a command that failed: mostly its own, but for a full disk
// of ours, and a root that it could not write to.
func (f *runFlags) failedHint(method capture.Method, hint string) string {
	if hint != "" {
		return hint
	}
	if err := mayWrite("/"); f.root == "" && errors.Is(err, syscall.EROFS) && (method == overlayMethod || method == traceMethod) {
		return "/ is mounted read-only, and is so to the command; --method rootless or redirect show it writable"
	}
	return "--keep-failed keeps what it did up to there"
}
