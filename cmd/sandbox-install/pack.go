package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// capturedFiles are a list and the bytes of its files.
type capturedFiles struct {
	list *plist.List
	tree plist.Tree

	// release, if not nil, gives back the room that the tree takes, and is called
	// before the package is made durable: a file system that is asked for that may
	// have to write all that was captured, too.
	release func()
}

// packFlags say what goes into the package and how it is written. "run" and
// "pack" share them.
type packFlags struct {
	policy   capture.Policy
	base     baseFlags
	name     string
	version  string
	dir      string
	format   *oneOf
	compress tarball.Compression
	rebase   rebaseOption
	asJSON   bool
	epoch    time.Time // from SOURCE_DATE_EPOCH; zero if not set

	provenance string // of "run"
}

func (f *packFlags) register(cmd *cobra.Command) {
	f.format = &oneOf{formatAuto, append([]string{formatAuto}, dialect.Formats()...)}
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "name of the package (default: from the working directory)")
	fl.StringVar(&f.version, "version", "", "version of the package (default: from the working directory, or 0)")
	fl.StringVar(&f.policy.Prefix, "prefix", "", "pack only what is below this `DIR` (default: pack all, and find out where it lives)")
	fl.StringVarP(&f.dir, "output", "o", ".", "write the files into this `DIR`")
	fl.Var(f.format, "plist-format", "text form of the packing list; auto is pkgsrc, or native if that can not hold a name")
	fl.TextVar(&f.compress, "compress", tarball.Zstd, "compression of the tarball: zstd, gzip or none")
	fl.StringArrayVar(&f.policy.Include, "include", nil, "pack what matches this `GLOB` (of absolute paths), whatever the rules say")
	fl.StringArrayVar(&f.policy.Exclude, "exclude", nil, "do not pack what matches this `GLOB`")
	f.base.register(cmd)
	f.rebase.register(cmd)
	fl.BoolVar(&f.asJSON, "json", false, "print the summary as JSON on standard output; the command's goes to standard error")
	must(cmd.RegisterFlagCompletionFunc("plist-format", f.format.complete))
	must(cmd.MarkFlagDirname("output"))
}

func packCommand(io *stdio) *cobra.Command {
	flags := &packFlags{}
	cmd := &cobra.Command{
		Use:   "pack [flags] CAPTURE",
		Short: "Classify a saved capture again and package it, without running anything",
		Long: `Pack reads a capture that "run --save-capture" wrote and makes a package of it, with
other --include, --exclude or --prefix than the run had.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.repack(cmd.Context(), io, args[0])
		},
	}
	flags.register(cmd)
	return cmd
}

// repack packs a saved capture.
func (f *packFlags) repack(ctx context.Context, stdio *stdio, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	r, err := tarball.NewReader(file)
	if err != nil {
		return wrap(name, err)
	}
	if f.rebase.flags.db != "" {
		return usagef("--rebase-db: a tarball is read only once; give it to \"run\"")
	}
	if err := r.Finish(); err != nil { // the whole of it is sound, before anything is written
		return errors.Join(wrap(name, err), r.Close())
	}
	l := r.List()
	if f.name == "" {
		f.name = l.Name
	}
	if f.version == "" {
		f.version = l.Version
	}
	if err := f.prepare(nil, l.Name); err != nil {
		return err
	}
	if err := f.base.load("/"); err != nil {
		return errors.Join(err, r.Close())
	}
	f.classify(l)
	s := &summary{Notes: l.Notes}
	return errors.Join(f.pack(ctx, stdio, s, capturedFiles{list: l, tree: r}), r.Close())
}

// prepare checks the flags before anything is run, and fills in what they leave
// open: the package's name from the working directories, else from the command.
func (f *packFlags) prepare(dirs []string, command string) error {
	name, version := guessName(dirs, command)
	if f.name == "" {
		f.name = strings.TrimLeft(name, ".")
	}
	if f.version == "" {
		f.version = version
	}
	if f.name == "" || f.name[0] == '.' || strings.ContainsAny(f.name+f.version, "/\x00\n") { // unpack takes no other
		return usagef("--name %q --version %q: not parts of a file name", f.name, f.version)
	}
	if f.policy.Prefix != "" {
		if f.policy.Prefix[0] != '/' {
			return usagef("--prefix %s: want an absolute path", f.policy.Prefix)
		}
		f.policy.Prefix = path.Clean(f.policy.Prefix)
	}
	if err := f.policy.Check(); err != nil {
		return &usageError{err}
	}
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		sec, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return usagef("SOURCE_DATE_EPOCH=%q: want seconds since 1970", s)
		}
		f.epoch = time.Unix(sec, 0)
	}
	for _, suffix := range []string{".plist", f.compress.Suffix()} {
		if err := mayCreate(filepath.Join(f.dir, f.name+"-"+f.version+suffix)); err != nil {
			return &hintedError{&usageError{fmt.Errorf("output directory: %w", err)}, "-o DIR names another"}
		}
	}
	return nil
}

func (f *packFlags) classify(l *plist.List) {
	capture.Classify(l, f.policy)
	f.base.leaveOut(l)
	l.Name, l.Version, l.Prefix = f.name, f.version, f.policy.Prefix
	if l.Prefix == "" {
		l.Prefix = capture.GuessPrefix(l)
	}
	if !f.epoch.IsZero() {
		l.ClampTimes(f.epoch)
	}
}

// pack records the dependencies of a classified list, writes both files and prints the
// summary. Both appear when both are whole, or neither does; only a name that the
// chosen text form can not hold leaves the tarball alone, in which it is kept.
func (f *packFlags) pack(ctx context.Context, stdio *stdio, s *summary, files capturedFiles) error {
	if err := dialect.Depend(files.list, files.tree); err != nil {
		return err
	}
	rebased, err := f.rebase.move(ctx, stdio, &files)
	if err != nil {
		return err
	}
	defer rebased.close()
	s.count(files.list)
	files.list.Brief()
	base := filepath.Join(f.dir, f.name+"-"+f.version)
	tarName := base + f.compress.Suffix()
	inTar := files
	if f.provenance != provenanceTarball { // two methods are to make the same tarball
		inTar.list = withoutProvenance(files.list)
	}
	tar, err := f.writeTar(ctx, stdio, tarName, inTar, false)
	if err != nil {
		return err
	}
	defer tar.discard()
	list, err := f.writeList(stdio, base+".plist", files.list)
	var unexpressible *dialect.Unexpressible
	if errors.As(err, &unexpressible) {
		return errors.Join(&hintedError{
			fmt.Errorf("%s was not written: %w", base+".plist", err),
			"--plist-format native can hold it, and so does " + tarName,
		}, rebased.save(), tar.commit())
	}
	if err != nil {
		return err
	}
	defer list.discard()
	if files.release != nil {
		files.release()
	}
	if err := errors.Join(tar.finish(), list.finish()); err != nil {
		return roomFor(err)
	}
	if err := rebased.save(); err != nil {
		return err
	}
	if err := tar.commit(); err != nil {
		return err
	}
	if err := list.commit(); err != nil {
		return err
	}
	s.Files = []string{base + ".plist", tarName}
	return s.print(stdio, f.asJSON)
}

// withoutProvenance returns a list that does not tell who wrote what.
func withoutProvenance(l *plist.List) *plist.List {
	if !slices.ContainsFunc(l.Entries, func(e plist.Entry) bool { return e.By != nil }) {
		return l
	}
	out := *l
	out.Entries = slices.Clone(l.Entries)
	for i := range out.Entries {
		out.Entries[i].By = nil
	}
	return &out
}

// formatAuto is the text form that porters know, if it can hold all names.
const formatAuto = "auto"

// writeList writes what is packed in the wanted text form, beside its final name.
// It is the last to use the list, and takes the rest out of it.
func (f *packFlags) writeList(stdio *stdio, name string, l *plist.List) (*output, error) {
	out, err := create(name, 0o644)
	if err != nil {
		return nil, err
	}
	l.Strip()
	format := f.format.value
	if format == formatAuto {
		format = "pkgsrc"
	}
	err = dialect.Write(out, format, l)
	var unexpressible *dialect.Unexpressible
	if f.format.value == formatAuto && errors.As(err, &unexpressible) {
		fmt.Fprintf(stdio.err, "sandbox-install: %s is in the native form: %v\n", name, err)
		err = dialect.Write(out, dialect.Native, l)
	}
	if err != nil {
		out.discard()
		return nil, roomFor(err)
	}
	return out, nil
}

// writeTar writes a tarball beside its final name.
func (f *packFlags) writeTar(ctx context.Context, stdio *stdio, name string, files capturedFiles, full bool) (*output, error) {
	out, err := create(name, 0o644)
	if err != nil {
		return nil, err
	}
	step, end := progress(stdio.err, "packing")
	err = tarball.Write(&cancelWriter{ctx, out}, files.list, files.tree, tarball.Options{
		Compression: f.compress, Full: full, Progress: step,
	})
	end()
	if err != nil {
		out.discard()
		return nil, roomFor(wrap(name, err))
	}
	return out, nil
}

// roomFor tells what to do if there was no room for what is written.
func roomFor(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &hintedError{err, "make room there, or -o DIR names another place, and run it again"}
	}
	return err
}

// save writes the whole capture, nothing left out, to be packed again.
func (f *packFlags) save(ctx context.Context, stdio *stdio, name string, result *capture.Result) error {
	out, err := f.writeTar(ctx, stdio, name, capturedFiles{list: result.List, tree: result.Tree}, true)
	if err != nil {
		return err
	}
	defer out.discard()
	return out.commit()
}

// A cancelWriter fails once its context is cancelled.
type cancelWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c *cancelWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
