package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sandbox-install/sandbox-install/rebase"
)

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
	if err != nil {
		s.close()
		return nil, err
	}
	s.root.Mounts = s.policy.Mounts
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
	return nil
}

// openDatabases opens all that the policy has to respect, and completes it.
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
	f.policy.Respect = nil
	for _, name := range f.baseDBs {
		db, err := rebase.Open(name)
		if err != nil {
			return err
		}
		if same, err := sameFile(name, f.db); err != nil {
			return err
		} else if same {
			return usagef("--base-db %s: is --db itself", name)
		}
		f.policy.Respect = append(f.policy.Respect, db)
	}
	return f.completePolicy(s.db)
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
	found, err := rebase.Discover(s.root, search)
	if err != nil {
		return nil, err
	}
	for _, name := range found.Missing {
		s.notes = append(s.notes, name+": advertised, but not there")
	}
	for _, err := range found.Unread {
		s.notes = append(s.notes, "not searched: "+err.Error())
	}
	return append(files, found.Files...), nil
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
		if _, err := s.root.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			names = append(names, f.Name)
		} else if err != nil {
			return nil, err
		}
	}
	return names, nil
}
