package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/sandbox-install/sandbox-install/internal/diff3"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A Resolution says what a configuration file becomes that waits for being merged.
type Resolution string

// The resolutions.
const (
	ResolveMerge   Resolution = "merge"   // the user's changes and the package's
	ResolveMine    Resolution = "mine"    // it stays as it is
	ResolvePackage Resolution = "package" // the package's
)

// A Merged is what three texts of a configuration file make.
type Merged struct {
	Text      string // with markers where both changed the same lines
	Conflicts int
	NoBase    bool // what the user began with is not kept: there is no Text
}

// Merge tries a pending merge of a package.
func (r *Root) Merge(rec *Record, m *Merge) (*Merged, error) {
	mine, err := r.readFile(m.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if m.Base == (plist.Digest{}) {
		return &Merged{NoBase: true}, nil
	}
	base, err := r.readPristine(rec, m.Base)
	if err != nil {
		return nil, err
	}
	theirs, err := r.readPristine(rec, m.New)
	if err != nil {
		return nil, err
	}
	merged := &Merged{}
	merged.Text, merged.Conflicts = diff3.Merge(base, string(mine), theirs)
	return merged, nil
}

func (r *Root) readPristine(rec *Record, d plist.Digest) (string, error) {
	text, err := r.readFile(path.Join(rec.dir, pristineDir, d.String()))
	return string(text), err
}

// PlanConfig plans to resolve pending merges of a package, given by their real
// paths.
func (r *Root) PlanConfig(name string, resolve map[string]Resolution) (plan *Plan, err error) {
	p, err := r.newPlanner(name, Policy{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if p.old == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNotInstalled)
	}
	var waiting []Merge
	for i := range p.old.Merges {
		m := &p.old.Merges[i]
		how, ok := resolve[m.Path]
		if !ok {
			waiting = append(waiting, *m)
			continue
		}
		if err := p.resolveOne(m, how); err != nil {
			return nil, err
		}
	}
	plan, err = p.plan(Transaction{Verb: "config", Name: name, Version: p.old.Packaged.Version})
	if err != nil {
		return nil, err
	}
	plan.Is = p.resolved(&plan.Transaction, waiting)
	plan.setRecords()
	return plan, nil
}

// resolveOne sets the goal of one file.
func (p *planner) resolveOne(m *Merge, how Resolution) error {
	if above, ok := p.covered[m.Path]; ok {
		p.refuse(m.Path, "", "is package %s's now", above.last)
		return nil
	}
	now, err := p.look(m.Path)
	if err != nil {
		return err
	}
	if now != nil {
		p.leave(now)
	}
	switch how {
	case ResolveMine:
		return nil
	case ResolvePackage:
		text, err := p.readPristine(p.old, m.New)
		if err != nil {
			return err
		}
		if now == nil {
			now = p.was[m.Path]
		}
		return p.wantTextAt(m.Path, now, text)
	}
	merged, err := p.Merge(p.old, m)
	if err != nil {
		return err
	}
	switch {
	case now == nil:
		p.refuse(m.Path, resolveHint, "was deleted")
	case merged.NoBase:
		p.refuse(m.Path, resolveHint, "what it was changed from is not known")
	case merged.Conflicts > 0:
		p.refuse(m.Path, resolveHint, "%d places were changed in two ways", merged.Conflicts)
	default:
		return p.wantText(now, merged.Text)
	}
	return nil
}

const resolveHint = "see sandbox-install config show; then config mine or config package"

// wantTextAt makes a text the content of a path, with the attributes of an entry.
func (p *planner) wantTextAt(real string, like *plist.Entry, text string) error {
	e := *like
	e.Op, e.Changed, e.Path = plist.OpAdd, 0, real
	return p.wantText(&e, text)
}

// resolved is the record after merges were resolved.
func (p *planner) resolved(t *Transaction, waiting []Merge) *Record {
	rec := *p.old
	rec.written, rec.Merges = t.Number, waiting
	installed := *rec.Installed
	installed.Entries = slices.Clone(installed.Entries)
	for i := range installed.Entries {
		if now := t.After.Find(installed.Entries[i].Path); now != nil {
			installed.Entries[i] = *now
		}
	}
	rec.Installed = &installed
	return &rec
}

// Config resolves pending merges of a package: all of those that are given, or none.
func (r *Root) Config(name string, resolve map[string]Resolution) (*Done, error) {
	return r.change(func() (*Plan, error) { return r.PlanConfig(name, resolve) })
}

// openPristine opens the configuration that a package packed, as it was.
func (r *Root) openPristine(rec *Record, d plist.Digest) (plist.File, error) {
	f, err := r.sys.openFile(path.Join(rec.dir, pristineDir, d.String()))
	if err != nil {
		return nil, err
	}
	return f, nil
}
