package unpack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Done is what a verb did.
type Done struct {
	Transaction
	Notes     []string  // what a person should know, a sentence each
	Recovered *Recovery // of an earlier transaction; nil if there was nothing to do
	Was, Is   *Record   // see Plan
}

// Unpack puts a package over the root: all of it, or nothing.
func (r *Root) Unpack(pkg Package, policy Policy) (*Done, error) {
	return r.change(func() (*Plan, error) { return r.PlanUnpack(pkg, policy) })
}

// Remove takes a package away and brings back what was there before it.
func (r *Root) Remove(name string, policy Policy) (*Done, error) {
	return r.change(func() (*Plan, error) { return r.PlanRemove(name, policy) })
}

// Undo brings back what was there before a transaction; see PlanUndo.
func (r *Root) Undo(number int, policy Policy) (*Done, error) {
	return r.change(func() (*Plan, error) { return r.PlanUndo(number, policy) })
}

// change plans and carries out. The first plan in a root is made twice: one that
// is refused makes no state directory.
func (r *Root) change(plan func() (*Plan, error)) (*Done, error) {
	there, err := r.sys.exists(r.at(lockName))
	if err != nil {
		return nil, err
	}
	if !there {
		if _, err := plan(); err != nil {
			return nil, err
		}
	}
	lock, err := r.lock()
	if err != nil {
		return nil, err
	}
	done, err := r.changeLocked(plan)
	return done, errors.Join(err, lock.Close())
}

func (r *Root) changeLocked(plan func() (*Plan, error)) (*Done, error) {
	done := &Done{}
	var err error
	if done.Recovered, err = r.recover(); err != nil {
		return done, fmt.Errorf("recover: %w", err)
	}
	p, err := plan()
	if err != nil {
		return done, err
	}
	kept, err := r.carryOut(p)
	done.Transaction, done.Notes, done.Was, done.Is = p.Transaction, append(p.Notes, kept...), p.Was, p.Is
	return done, err
}

// records reads the records of all packages.
func (r *Root) records() (map[string]*Record, error) {
	names, err := r.names(packagesName)
	if err != nil {
		return nil, err
	}
	records := make(map[string]*Record, len(names))
	for _, name := range names {
		rec, err := r.readRecord(r.at(packagesName, name))
		if err != nil {
			return nil, err
		}
		if rec != nil { // it went meanwhile
			records[name] = rec
		}
	}
	return records, nil
}

// Packages returns the records of all installed packages, in the order of their
// names.
func (r *Root) Packages() ([]*Record, error) {
	records, err := r.records()
	if err != nil {
		return nil, err
	}
	all := make([]*Record, 0, len(records))
	for _, rec := range records {
		all = append(all, rec)
	}
	slices.SortFunc(all, func(a, b *Record) int { return plist.ComparePaths(a.Name(), b.Name()) })
	return all, nil
}

// Package returns the record of an installed package.
func (r *Root) Package(name string) (*Record, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	rec, err := r.readRecord(r.at(packagesName, name))
	if err == nil && rec == nil {
		err = fmt.Errorf("%s: %w", name, ErrNotInstalled)
	}
	return rec, err
}

// Owners returns the names of the packages that have a path, which may lead
// through symlinks of the root. Directories may have several; of a file that was
// taken it is the one that took it.
func (r *Root) Owners(path string) ([]string, error) {
	real, err := newDirs(r, &plist.List{}).place(path)
	if err != nil {
		return nil, err
	}
	all, err := r.Packages()
	if err != nil {
		return nil, err
	}
	var names []string
	var last *Record // that has a file there
	for _, rec := range all {
		switch e := rec.Installed.Find(real); {
		case e == nil || e.Op == plist.OpDelete:
		case e.Mode.IsDir():
			names = append(names, rec.Name())
		case last == nil || rec.Transaction > last.Transaction:
			last = rec
		}
	}
	if last != nil {
		names = append(names, last.Name())
	}
	return names, nil
}
