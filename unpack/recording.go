package unpack

import (
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/plist"
)

// record makes the new record of the package, whose whole list is given.
func (p *planner) record(plan *Plan, whole *plist.List) (*Record, error) {
	t := &plan.Transaction
	rec := &Record{Transaction: t.Number, written: t.Number, Packaged: whole, Merges: p.merges, Edits: p.ours, sources: make(sourceMap)}
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
	var base []displaced
	for _, real := range slices.SortedFunc(maps.Keys(p.named), plist.ComparePaths) {
		from, sources, err := p.base(real, plan, stored)
		if err != nil {
			return nil, err
		}
		e := from.Find(real)
		if e == nil {
			continue
		}
		base = append(base, displaced{*e, from})
		source := sources[real]
		if now := t.Before.Find(real); source == "" && now != nil && !contentDiffers(now, e) {
			source = stored[real] // it stayed until now
		}
		if e.Mode.IsRegular() && source != "" {
			rec.sources[real] = source
		}
	}
	for _, edit := range p.ours {
		from := p.beforeEdits(edit.Path, t)
		if e := from.Find(edit.Path); e != nil {
			base = append(base, displaced{*e, from})
		}
	}
	rec.Displaced = listOf(base)
	for _, l := range []*plist.List{rec.Installed, rec.Displaced} {
		l.Name, l.Version = t.Name, t.Version
	}
	return rec, nil
}

// beforeEdits returns the list that tells what a shared file was before the package's lines came.
func (p *planner) beforeEdits(real string, t *Transaction) *plist.List {
	if p.old != nil && slices.ContainsFunc(p.old.Edits, func(e Edit) bool { return e.Path == real }) {
		return p.old.Displaced
	}
	return t.Before
}

// base returns the list that tells what was at a path before the package came, and where
// the content of that is.
func (p *planner) base(real string, plan *Plan, stored sourceMap) (*plist.List, sourceMap, error) {
	if g := p.goals[real].entry; g != nil && g.Mode.IsDir() {
		if rec, err := p.sharer(real); err != nil {
			return nil, nil, err
		} else if rec != nil {
			if i := slices.IndexFunc(plan.others, func(o *Record) bool { return o.Name() == rec.Name() }); i >= 0 {
				rec = plan.others[i]
			}
			return rec.Displaced, rec.sources, nil
		}
	}
	if p.holds(real) {
		return p.old.Displaced, p.old.sources, nil
	}
	return plan.Before, stored, nil
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
