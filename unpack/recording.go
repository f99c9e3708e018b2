package unpack

import (
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/plist"
)

// record makes the new record of the package, whose whole list is given.
func (p *planner) record(t *Transaction, whole *plist.List) (*Record, error) {
	rec := &Record{Transaction: t.Number, Packaged: whole, Merges: p.merges, Edits: p.ours, sources: make(sourceMap)}
	p.recordPristine(rec)
	for real := range p.kept {
		p.named[real] = real
	}
	mine := func(e *plist.Entry) bool { _, ok := p.named[e.Path]; return ok }
	rec.Installed = subset(t.After, mine)
	for real := range p.named {
		if g := p.goals[real]; g.entry == nil {
			e := plist.Entry{Op: plist.OpDelete, Path: real}
			if named := p.pkg.List.Find(p.named[real]); named != nil {
				e.Mode = named.Mode.Type()
			}
			rec.Installed.Entries = append(rec.Installed.Entries, e)
		}
	}
	rec.Installed.Sort()
	stored := storedBy(t)
	base := &plist.List{}
	for _, real := range slices.SortedFunc(maps.Keys(p.named), plist.ComparePaths) {
		e, fresh, err := p.base(real, t)
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		base.Entries = append(base.Entries, *e)
		switch source := p.sources[real]; {
		case !e.Mode.IsRegular():
		case fresh && stored[real] != "":
			rec.sources[real] = stored[real]
		case !fresh && source != "":
			rec.sources[real] = source
		}
	}
	for _, edit := range p.ours {
		if e := p.beforeEdits(edit.Path, t); e != nil {
			base.Entries = append(base.Entries, *e)
		}
	}
	base.Sort()
	base.Entries = slices.CompactFunc(base.Entries, func(a, b plist.Entry) bool { return a.Path == b.Path })
	rec.Displaced = subset(base, func(*plist.Entry) bool { return true })
	for _, l := range []*plist.List{rec.Installed, rec.Displaced} {
		l.Name, l.Version = t.Name, t.Version
	}
	return rec, nil
}

// beforeEdits returns what a shared file was before the package's lines came.
func (p *planner) beforeEdits(real string, t *Transaction) *plist.Entry {
	if p.old != nil && slices.ContainsFunc(p.old.Edits, func(e Edit) bool { return e.Path == real }) {
		return p.old.Displaced.Find(real)
	}
	return t.Before.Find(real)
}

// base returns what was at a path before any package was, and whether that is
// what is there now.
func (p *planner) base(real string, t *Transaction) (e *plist.Entry, fresh bool, err error) {
	if p.old != nil && p.old.Installed.Find(real) != nil {
		return p.old.Displaced.Find(real), false, nil
	}
	if other := p.otherOwner(real); other != nil && !p.takes(real) {
		rec, err := other.in.record(other.name)
		if err != nil {
			return nil, false, err
		}
		if rec != nil {
			return rec.Displaced.Find(real), false, nil
		}
	}
	return t.Before.Find(real), true, nil
}

// storedBy says where a transaction keeps what it displaces.
func storedBy(t *Transaction) sourceMap {
	m := make(sourceMap)
	for _, s := range steps(t.Before, t.After) {
		if !s.displaces() {
			continue
		}
		for _, e := range below(t.Before, s.path) {
			m[e.Path] = path.Join(strconv.Itoa(t.Number), strconv.Itoa(s.number)) + e.Path[len(s.path):]
		}
	}
	return m
}
