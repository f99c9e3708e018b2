package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/hashdiff"
)

// snapshotFlags are the flags of "snapshot".
type snapshotFlags struct {
	root     string
	output   string
	earlier  string
	paranoid bool
}

func snapshotCommand(stdio *stdio) *cobra.Command {
	flags := &snapshotFlags{}
	cmd := &cobra.Command{
		Use:   "snapshot [flags] [PATH...]",
		Short: "Record all files of a tree, to be compared by \"diff\"",
		Long: `Snapshot walks the directories and files given (default: the whole system) and
records their names, attributes and BLAKE3 digests. File systems that show the
kernel and not files (/proc, /sys) are passed over.

If FILE is there already and is a snapshot of the same paths, or with --earlier,
only files that changed since are read again: those whose device, inode, size,
modification or change time differ, or that changed so shortly before the earlier
snapshot that the clock may not tell.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), stdio, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.root, "root", "", "paths are below this `DIR` (default: the system's root)")
	f.StringVarP(&flags.output, "output", "o", "", "write the snapshot to this `FILE` (default: standard output)")
	f.StringVar(&flags.earlier, "earlier", "", "an earlier snapshot `FILE` of the same paths (default: the one that is replaced)")
	f.BoolVar(&flags.paranoid, "paranoid", false, "read all files again")
	return cmd
}

func (f *snapshotFlags) run(ctx context.Context, stdio *stdio, args []string) error {
	if f.output == "" && term.IsTerminal(int(stdio.out.Fd())) {
		return usagef("a snapshot is no text: give -o FILE, or redirect standard output")
	}
	scope, err := f.scope(args)
	if err != nil {
		return err
	}
	earlier, err := f.openEarlier(&scope)
	if err != nil {
		return err
	}
	if f.output == "" {
		return f.write(ctx, stdio, stdio.out, scope, earlier)
	}
	out, err := create(f.output, 0o600)
	if err != nil {
		return err
	}
	defer out.discard()
	if scope.Skip, err = inodesOf(out.File, f.output); err != nil {
		return err
	}
	if err := f.write(ctx, stdio, out, scope, earlier); err != nil {
		return err
	}
	return out.commit()
}

// scope finds what is to be recorded. With --root all paths are those inside it.
func (f *snapshotFlags) scope(args []string) (hashdiff.Scope, error) {
	var paths []string
	for _, arg := range args {
		p, err := realPath(filepath.Join(f.root, arg))
		if err != nil {
			return hashdiff.Scope{}, &usageError{err}
		}
		paths = append(paths, p)
	}
	root, err := realPath(f.root)
	if err != nil {
		return hashdiff.Scope{}, usagef("--root: %w", err)
	}
	if f.root == "" {
		root = hashdiff.SystemRoot(append(paths, root)[0])
	}
	scope, err := hashdiff.NewScope(root, paths...)
	if err != nil {
		return scope, &usageError{err}
	}
	return scope, nil
}

// realPath is absolute and goes through no symlink: an entry path is where a file
// is, and not one of the ways there.
func realPath(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// openEarlier opens the snapshot that saves reading all again; nil if there is
// none.
func (f *snapshotFlags) openEarlier(scope *hashdiff.Scope) (*hashdiff.File, error) {
	name := f.earlier
	if name == "" {
		name = f.output
	}
	if name == "" || f.paranoid {
		return nil, nil
	}
	earlier, err := hashdiff.Open(name)
	switch {
	case f.earlier == "" && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case f.earlier == "" && err != nil: // do not replace what is no snapshot
		return nil, err
	case err != nil:
		return nil, err
	}
	was := earlier.Scope()
	if slices.Equal(was.Paths, scope.Paths) && was.Root == scope.Root {
		return earlier, nil
	}
	if f.earlier != "" {
		err = usagef("--earlier %s: it is of other paths", name)
	}
	return nil, errors.Join(err, earlier.Close())
}

// write makes the snapshot, and closes the earlier one: Windows replaces no open file.
func (f *snapshotFlags) write(ctx context.Context, stdio *stdio, w io.Writer, scope hashdiff.Scope, earlier *hashdiff.File) error {
	step, end := progress(stdio.err, "recording")
	options := hashdiff.Options{Progress: step}
	if earlier != nil { // not a nil *File in a Source
		options.Earlier = earlier
		defer earlier.Close() //nolint:errcheck // only read
	}
	tally, err := hashdiff.Write(ctx, w, scope, options)
	end()
	if err == nil {
		printTally(stdio.err, &tally)
	}
	return err
}

// inodesOf are those of a file being written, and of the one it will replace:
// neither is part of the tree.
func inodesOf(f *os.File, name string) ([]capture.Inode, error) {
	var inodes []capture.Inode
	for _, n := range []string{f.Name(), name} {
		inode, err := hashdiff.InodeOf(n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		inodes = append(inodes, inode)
	}
	return inodes, nil
}

// printTally says what a snapshot holds.
func printTally(w io.Writer, t *hashdiff.Tally) {
	fmt.Fprintf(w, "sandbox-install: %d paths; %d files read (%d bytes), %d as in the earlier snapshot\n", t.Records, t.Hashed, t.Bytes, t.Reused)
	for _, c := range []struct {
		n    int
		text string
	}{
		{t.Unread, "paths could not be read"},
		{t.Unsteady, "files were being written"},
		{t.Vanished, "names vanished while they were read"},
		{t.Pseudo, "file systems of the kernel passed over"},
		{t.Loops, "mounts passed over that hold themselves"},
	} {
		if c.n > 0 {
			fmt.Fprintf(w, "sandbox-install: %d %s\n", c.n, c.text)
		}
	}
}
