package unpack

import (
	"maps"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// before lists what is at the goals' paths now.
func (p *planner) before(t *Transaction) *plist.List {
	l := &plist.List{Name: t.Name, Version: t.Version}
	first := make(map[capture.Inode]string)
	for _, real := range slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths) {
		now := p.there[real]
		if now == nil {
			continue
		}
		e := *now
		if inode := p.inodes[real]; linkable(&e) && inode.Nlink > 1 {
			if body, ok := first[inode]; ok {
				e.Link = body
			} else {
				first[inode] = real
			}
		}
		l.Entries = append(l.Entries, e)
	}
	return l
}

// after lists the goals. Names of one file get the attributes of the one that is
// there, if any is.
func (p *planner) after(t *Transaction) *plist.List {
	l := &plist.List{Name: t.Name, Version: t.Version}
	paths := slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths)
	model := make(map[string]*plist.Entry)
	for _, real := range paths {
		if g := p.goals[real]; g.entry != nil && g.file != "" && (model[g.file] == nil || g.from == fromDisk) {
			model[g.file] = g.entry
		}
	}
	first := make(map[string]string)
	for _, real := range paths {
		g := p.goals[real]
		if g.entry == nil {
			continue
		}
		e := *g.entry
		if g.file != "" {
			e = *model[g.file]
			e.Link = first[g.file]
			if e.Link == "" {
				first[g.file] = real
			}
		}
		e.Op, e.Changed, e.Was, e.Class, e.Rule, e.Path = plist.OpAdd, 0, nil, plist.ClassChanged, "", real
		l.Entries = append(l.Entries, e)
	}
	return l
}
