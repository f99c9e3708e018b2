package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	if err == nil {
		if failed := r.updateIndex(); failed != nil { // look-ups do without it
			kept = append(kept, fmt.Sprintf("the index could not be written: %v", failed))
		}
	}
	done.Transaction, done.Notes, done.Was, done.Is = p.Transaction, append(p.Notes, kept...), p.Was, p.Is
	return done, err
}

// records reads the records of all packages of a root itself.
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
// names; of one that a base has too, that of the root.
func (r *Root) Packages() ([]*Record, error) {
	records := make(map[string]*Record)
	for _, layer := range append(slices.Clone(r.bases), r) {
		in, err := layer.records()
		if err != nil {
			return nil, err
		}
		maps.Copy(records, in)
	}
	return slices.SortedFunc(maps.Values(records), func(a, b *Record) int { return plist.ComparePaths(a.Name(), b.Name()) }), nil
}

// Package returns the record of an installed package, of the root or else of a base.
func (r *Root) Package(name string) (*Record, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for _, layer := range slices.Backward(append(slices.Clone(r.bases), r)) {
		if rec, err := layer.readRecord(layer.at(packagesName, name)); rec != nil || err != nil {
			return rec, err
		}
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNotInstalled)
}

// Owners returns the names of the packages that have a path, which may lead
// through symlinks of the root. Directories may have several; of a file that was
// taken it is the one that took it.
func (r *Root) Owners(path string) (names []string, err error) {
	real, err := newDirs(r, &plist.List{}).place(path)
	if err != nil {
		return nil, err
	}
	layers, err := r.openLayers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeLayers(layers)) }()
	for _, l := range layers {
		for _, o := range l.find(real) {
			names = append(names, o.name)
		}
	}
	if len(names) > 1 {
		now, _, err := r.sys.lstat(real, noHash)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !now.Mode.IsDir() {
			names = names[len(names)-1:]
		}
	}
	return names, nil
}
