package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/rebase"
)

// rebaseFlags are the flags of all rebase commands.
type rebaseFlags struct {
	db          string
	format      oneOf
	machine     oneOf
	baseDBs     []string
	root        string
	stripPrefix string
	mounts      []string

	list     string
	discover bool
	search   rebase.Search
	target   oneOf
	rooms    []string
	keepOuts []string
	pins     []string
	policy   rebase.Policy
	json     bool
	verbose  bool
}

func (f *rebaseFlags) registerDatabases(cmd *cobra.Command) {
	f.format = oneOf{value: string(rebase.FormatText), allowed: []string{string(rebase.FormatText), string(rebase.FormatRBII)}}
	f.machine = oneOf{value: rebase.AMD64.String(), allowed: []string{rebase.I386.String(), rebase.AMD64.String()}}
	flags := cmd.Flags()
	flags.StringVar(&f.db, "db", "", "database `FILE` to read and record in")
	flags.StringArrayVar(&f.baseDBs, "base-db", nil, "database `FILE` of another layer, to respect; may be repeated")
	flags.Var(&f.format, "db-format", "form of a new database")
	flags.Var(&f.machine, "machine", "machine of a new rbii database")
	flags.BoolVar(&f.json, "json", false, "print for a machine")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also tell what stays as it is")
}

func (f *rebaseFlags) registerPlaces(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.root, "root", "/", "`DIR` that is the system's root when the images are used")
	flags.StringVar(&f.stripPrefix, "strip-prefix", "", "staging `DIR` (in --root) that is not part of the recorded names")
	flags.StringArrayVar(&f.mounts, "mount", nil, "`NAME=PATH`: what is recorded below NAME lies below PATH; \"cygwin\" for /usr/bin=/bin and /usr/lib=/lib")
}

func (f *rebaseFlags) registerFiles(cmd *cobra.Command) {
	f.registerPlaces(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.list, "files-from", "T", "", "read further names, one a line, from `FILE` (- for the standard input)")
	flags.BoolVar(&f.discover, "discover", false, "find the images of packages, and those advertised for Cygwin's _autorebase")
	flags.BoolVar(&f.search.Programs, "exe", false, "in directories, take .exe files too")
}

func (f *rebaseFlags) registerPolicy(cmd *cobra.Command) {
	for _, t := range rebase.Targets {
		f.target.allowed = append(f.target.allowed, string(t))
	}
	flags := cmd.Flags()
	flags.Var(&f.target, "target", "system the images are for (default cygwin for an rbii database, else windows)")
	flags.StringArrayVar(&f.rooms, "room", nil, "`MACHINE=LOW-HIGH`: where images are placed, instead of the target's range")
	flags.StringArrayVar(&f.keepOuts, "keep-out", nil, "`LOW-HIGH`: addresses to leave free; may be repeated")
	flags.StringArrayVar(&f.pins, "pin", nil, "`PATTERN[=BASE]`: images that stay where they are, or go to BASE; may be repeated")
	flags.BoolVar(&f.policy.DropSignature, "drop-signature", false, "move signed images, too, without their signature")
	flags.BoolVar(&f.policy.ClearDynamic, "clear-dynamic-base", false, "take the flags DYNAMICBASE and HIGH_ENTROPY_VA, by which the loader ignores the base, from all images that may change")
	flags.BoolVar(&f.policy.Compact, "compact", false, "place all images anew, those recorded as well")
	must(cmd.RegisterFlagCompletionFunc("target", f.target.complete))
}

// completePolicy turns the flags into the policy.
func (f *rebaseFlags) completePolicy(db *rebase.Database) error {
	p := &f.policy
	p.Database = db
	switch {
	case f.target.value != "":
		p.Target = rebase.Target(f.target.value)
	case db.Format == rebase.FormatRBII:
		p.Target = rebase.TargetCygwin
	default:
		p.Target = rebase.TargetWindows
	}
	for _, s := range f.keepOuts {
		r, err := rebase.ParseRange(s)
		if err != nil {
			return &usageError{err}
		}
		p.KeepOut = append(p.KeepOut, r)
	}
	for _, s := range f.pins {
		pin, err := rebase.ParsePin(s)
		if err != nil {
			return &usageError{err}
		}
		p.Pins = append(p.Pins, pin)
	}
	return f.completeRooms()
}

func (f *rebaseFlags) completeRooms() error {
	f.policy.Room = make(map[rebase.Machine]rebase.Range)
	for _, s := range f.rooms {
		name, room, _ := strings.Cut(s, "=")
		m, err := rebase.ParseMachine(name)
		if err != nil {
			return usagef("--room %s: %w", s, err)
		}
		if f.policy.Room[m], err = rebase.ParseRange(room); err != nil {
			return usagef("--room %s: %w", s, err)
		}
	}
	return nil
}

// A rebaseSession is what a rebase command works on.
type rebaseSession struct {
	stdio  *stdio
	flags  *rebaseFlags
	dir    string // of root, on this system, without symbolic links
	root   *rebase.Root
	db     *rebase.Database
	lock   *rebase.Lock
	policy *rebase.Policy
	full   bool     // a full rebase was asked for by its trigger
	notes  []string // for the user
}

// A use says what a command does with the database.
type use int

const (
	optional use = iota // reads it, if one is named
	reading
	planning // reads it, but it may be new
	changing // takes the lock
	writing  // takes the lock, and it may be new
)

func (f *rebaseFlags) open(ctx context.Context, stdio *stdio, u use) (*rebaseSession, error) {
	if f.db == "" && u != optional {
		return nil, usagef("--db FILE is needed")
	}
	s := &rebaseSession{stdio: stdio, flags: f, policy: &f.policy}
	err := s.openRoot()
	if err == nil {
		err = s.openDatabases(ctx, u)
	}
	if err == nil {
		err = f.completePolicy(s.db)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *rebaseSession) openRoot() error {
	dir, err := filepath.Abs(filepath.Join(s.flags.root, s.flags.stripPrefix))
	if err != nil {
		return err
	}
	if s.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	s.root = &rebase.Root{Root: root}
	for _, m := range s.flags.mounts {
		if m == "cygwin" {
			s.root.Mounts = append(s.root.Mounts, rebase.CygwinMounts...)
			continue
		}
		mount, err := rebase.ParseMount(m)
		if err != nil {
			return &usageError{err}
		}
		s.root.Mounts = append(s.root.Mounts, mount)
	}
	return nil
}

func (s *rebaseSession) openDatabases(ctx context.Context, u use) (err error) {
	f := s.flags
	s.db = rebase.NewDatabase(f.db)
	if f.db != "" {
		if u >= changing {
			if s.lock, err = rebase.AcquireLock(ctx, f.db); err != nil {
				return err
			}
		}
		if s.db, err = rebase.Open(f.db); errors.Is(err, fs.ErrNotExist) && (u == planning || u == writing) {
			s.db, err = f.newDatabase()
		}
		if err != nil {
			return err
		}
	}
	for _, name := range f.baseDBs {
		if same, err := sameFile(name, f.db); same || err != nil {
			return errors.Join(err, usagef("--base-db %s: is --db itself", name))
		}
		db, err := rebase.Open(name)
		if err != nil {
			return err
		}
		f.policy.Respect = append(f.policy.Respect, db)
	}
	return nil
}

// sameFile reports whether two names are of one file, where both are there.
func sameFile(a, b string) (bool, error) {
	one, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	two, err := os.Stat(b)
	if errors.Is(err, fs.ErrNotExist) || b == "" {
		return false, nil
	}
	return err == nil && os.SameFile(one, two), err
}

func (f *rebaseFlags) newDatabase() (*rebase.Database, error) {
	if f.format.value == string(rebase.FormatText) {
		return rebase.NewDatabase(f.db), nil
	}
	m, err := rebase.ParseMachine(f.machine.value)
	if err != nil {
		return nil, err
	}
	return rebase.NewRBII(f.db, m, rebase.TargetCygwin.Place(m).Room.High), nil
}

func (s *rebaseSession) close() {
	if s.lock != nil {
		s.lock.Release() //nolint:errcheck // a descriptor that was only locked
	}
	if s.root != nil {
		s.root.Close() //nolint:errcheck // a directory
	}
}

// plan plans for the files that the command line asks for.
func (s *rebaseSession) plan(ctx context.Context, args []string) (*rebase.Plan, error) {
	if err := s.prepareFull(); err != nil {
		return nil, err
	}
	files, err := s.files(args)
	if err != nil {
		return nil, err
	}
	if s.policy.Compact {
		more, err := s.recorded()
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	if len(files) == 0 && !s.flags.discover {
		return nil, usagef("no images: name files, or --discover")
	}
	return rebase.NewPlan(ctx, s.root, files, s.policy)
}

func (s *rebaseSession) apply(ctx context.Context, plan *rebase.Plan) error {
	step, end := progress(s.stdio.err, "moving")
	defer end()
	s.policy.Progress = step
	return plan.Apply(ctx)
}

// prepareFull clears the database if a full rebase was triggered.
func (s *rebaseSession) prepareFull() (err error) {
	if !s.flags.discover {
		return nil
	}
	if s.full, err = rebase.FullWanted(s.root); err != nil || !s.full {
		return err
	}
	gone, err := s.missing()
	for _, name := range gone {
		s.db.Remove(name)
	}
	s.policy.Compact = true
	return err
}

// files returns the files named by arguments and lists, and those discovered.
func (s *rebaseSession) files(args []string) ([]rebase.File, error) {
	listed, err := s.listed()
	if err != nil {
		return nil, err
	}
	var files []rebase.File
	search := s.flags.search
	search.Advertised = s.flags.discover
	for _, arg := range append(args, listed...) {
		f, err := s.locate(arg)
		if err != nil {
			return nil, err
		}
		if info, err := s.root.Lstat(f.Path); err == nil && info.IsDir() {
			search.Trees = append(search.Trees, f.Name)
		} else {
			files = append(files, f)
		}
	}
	found, missing, err := rebase.Discover(s.root, search)
	if err != nil {
		return nil, err
	}
	for _, name := range missing {
		s.notes = append(s.notes, name+": advertised, but not there")
	}
	return append(files, found...), nil
}

func (s *rebaseSession) listed() ([]string, error) {
	if s.flags.list == "" {
		return nil, nil
	}
	_, text, err := readText(s.stdio, []string{s.flags.list})
	return strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }), err
}

// locate turns a path of this system into a file of the root. Symbolic links to
// directories are resolved, since the recorded name is the real one.
func (s *rebaseSession) locate(arg string) (rebase.File, error) {
	abs, err := filepath.Abs(arg)
	if err != nil {
		return rebase.File{}, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return rebase.File{}, err
	}
	rel, err := filepath.Rel(s.dir, filepath.Join(dir, filepath.Base(abs)))
	if err != nil {
		return rebase.File{}, err
	}
	if !filepath.IsLocal(rel) {
		return rebase.File{}, usagef("%s: not below %s", arg, s.dir)
	}
	return s.root.FileAt(filepath.ToSlash(rel)), nil
}

// recorded returns the files of all records.
func (s *rebaseSession) recorded() ([]rebase.File, error) {
	var files []rebase.File
	for _, r := range s.db.Records() {
		f, err := s.root.FileOf(r.Name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// missing returns the recorded names of which there is no file.
func (s *rebaseSession) missing() ([]string, error) {
	files, err := s.recorded()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if _, err := s.root.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) {
			names = append(names, f.Name)
		} else if err != nil {
			return nil, err
		}
	}
	return names, nil
}
