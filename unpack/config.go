package unpack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// isConfig reports whether a regular file is configuration, which the user changes.
func (p *planner) isConfig(e *plist.Entry) bool {
	if e == nil || e.Op == plist.OpDelete || !e.Mode.IsRegular() {
		return false
	}
	if p.policy.Config != nil {
		return p.policy.Config(e.Path)
	}
	prefix := "/"
	switch {
	case p.pkg.List != nil:
		prefix = p.pkg.List.Prefix
	case p.old != nil:
		prefix = p.old.Packaged.Prefix
	}
	return strings.HasPrefix(e.Path, "etc/") || strings.HasPrefix("/"+e.Path, strings.TrimSuffix(prefix, "/")+"/etc/")
}

// wantConfig decides about a configuration file that both versions have, and that
// is not as the old one had it. What the user made of it stays; what the new
// version has waits for being merged, if that is new and not what is there.
func (p *planner) wantConfig(e, now, packaged *plist.Entry) {
	p.leave(now)
	m := Merge{e.Path, packaged.Digest, e.Digest}
	if pending := p.old.merge(e.Path); pending != nil {
		m.Base = pending.Base // the user began with that
	}
	if now.Digest == e.Digest {
		return
	}
	if m.Base == e.Digest {
		p.note(e.Path, "was modified and stays so; the package's has not changed")
		return
	}
	if !p.isKept(m.Base) {
		m.Base = plist.Digest{}
	}
	p.merges = append(p.merges, m)
	p.note(e.Path, "was modified and stays so; the package's has changed too, and waits for being merged: sandbox-install config")
}

// isKept reports whether the old record keeps configuration of this content.
func (p *planner) isKept(d plist.Digest) bool {
	return p.old != nil && slices.Contains(p.old.pristine, d)
}

// recordPristine decides what configuration a new record keeps: all that the package
// has, and the bases of what waits for being merged.
func (p *planner) recordPristine(rec *Record) {
	if p.old != nil {
		rec.dir = p.old.dir
	}
	keep := func(d plist.Digest) {
		switch {
		case d == plist.Digest{} || slices.Contains(rec.pristine, d) || slices.Contains(rec.fresh, d):
		case p.isKept(d):
			rec.pristine = append(rec.pristine, d)
		default:
			rec.fresh = append(rec.fresh, d)
		}
	}
	for _, real := range slices.SortedFunc(maps.Keys(p.named), plist.ComparePaths) {
		if e := p.pkg.List.Find(p.named[real]); e != nil && e.HasContent() {
			here := *e
			here.Path = real
			if p.isConfig(&here) || isEdit(e) && e.Was != nil && e.Was.Old != nil {
				keep(e.Digest)
			}
			if g := p.goals[real]; g.from == fromText && g.entry != nil {
				keep(g.entry.Digest) // the package's changes were made in another text
			}
		}
	}
	for _, m := range rec.Merges {
		keep(m.Base)
	}
}

// openPristine opens configuration as the package has it, or as it was made here.
func (p *planner) openPristine(d plist.Digest) (plist.File, error) {
	for real, text := range p.texts {
		if e := p.goals[real].entry; e != nil && e.Digest == d {
			return textFile{strings.NewReader(text)}, nil
		}
	}
	for i := range p.pkg.List.Entries {
		if e := &p.pkg.List.Entries[i]; e.HasContent() && e.Digest == d {
			return p.pkg.Tree.Open(e.Path)
		}
	}
	return nil, fmt.Errorf("configuration %s: is not in the package", d)
}
