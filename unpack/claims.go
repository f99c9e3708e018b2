package unpack

import (
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The claims to a path stand one upon another, in the order of their transactions: each
// package displaced what the one below it had there, the first one what was there before
// all, and the root has what the last one has. Claims to a directory that follow one
// another are one: who shares it displaced what its first owner did.
//
// When a package takes its claim away, the one above inherits what it had displaced. If
// that is the directory of the one below, and the one above has a directory, the two are
// one from then on.

// A cover is what stands upon the claim of a package.
type cover struct {
	heirs []string // the packages that displaced what it has
	first string   // the package below whose directory the heirs' is one with then; may be ""
	last  string   // the package whose is what is there
}

// own returns the registry of the root itself: who has something in a base keeps it.
func (p *planner) own() *registry { return p.layers[len(p.layers)-1].registry }

// findCovered finds the paths of the old version where other packages' claims stand
// upon its own, and who inherits.
func (p *planner) findCovered() {
	p.covered = make(map[string]cover)
	for i := range p.old.Installed.Entries {
		real := p.old.Installed.Entries[i].Path
		if above := coverOf(p.old.Name(), p.own().claimants(real)); above.last != "" {
			p.covered[real] = above
		}
	}
}

// coverOf returns what stands upon the claim of a package to a path; nobody is last if
// there is nothing. Nobody inherits where it shares a directory: that stays.
func coverOf(name string, all []owner) (c cover) {
	at := slices.IndexFunc(all, func(o owner) bool { return o.name == name })
	first, next := at, at+1
	if all[at].what == aDir {
		for first > 0 && all[first-1].what == aDir {
			first--
		}
		for next < len(all) && all[next].what == aDir {
			next++
		}
	}
	if next == len(all) {
		return cover{}
	}
	c.last = all[len(all)-1].name
	if next-first > 1 {
		return c
	}
	if at > 0 && all[at-1].what == aDir && all[next].what == aDir {
		c.first = all[at-1].name
	}
	for i, o := range all[next:] {
		if i > 0 && (o.what != aDir || all[next].what != aDir) {
			break
		}
		c.heirs = append(c.heirs, o.name)
	}
	return c
}

// isCovered reports whether what is at a path is another package's, which came after
// the old version.
func (p *planner) isCovered(real string) bool {
	_, ok := p.covered[real]
	return ok
}

// holds reports whether the old version's claim to a path is the last one.
func (p *planner) holds(real string) bool {
	return p.old != nil && p.old.Installed.Find(real) != nil && !p.isCovered(real)
}

// sharer returns the last package that shares a directory which is there, but for the
// planned one; nil if there is none.
func (p *planner) sharer(real string) (*Record, error) {
	for _, o := range slices.Backward(p.own().claimants(real)) {
		switch {
		case p.old != nil && o.name == p.old.Name():
			continue
		case o.what == aDir:
			return p.own().record(o.name)
		default:
			return nil, nil
		}
	}
	return nil, nil
}

// inherited returns the new records of those who inherit from the old version, all of
// whose claims go, or come to stand upon the others.
func (p *planner) inherited(t *Transaction) ([]*Record, error) {
	changed := make(map[string]*Record)
	left := make(map[string][]displaced)
	for real, above := range p.covered {
		from := p.old
		if above.first != "" {
			var err error
			if from, err = p.own().record(above.first); err != nil {
				return nil, err
			}
		}
		for _, heir := range above.heirs {
			rec := changed[heir]
			if rec == nil {
				old, err := p.own().record(heir)
				if err != nil {
					return nil, err
				}
				one := *old
				one.written, one.sources = t.Number, maps.Clone(one.sources)
				rec, changed[heir] = &one, &one
				for i := range one.Displaced.Entries {
					left[heir] = append(left[heir], displaced{one.Displaced.Entries[i], one.Displaced})
				}
			}
			base, source := from.Displaced.Find(real), from.sources[real]
			if was := p.old.Installed.Find(real); base != nil && source == "" && !contentDiffers(base, was) {
				// The old version left the content, so the heir keeps it, or what the user made of it.
				if theirs := rec.Displaced.Find(real); theirs == nil || contentDiffers(base, theirs) {
					continue
				}
				source = rec.sources[real]
			}
			left[heir] = slices.DeleteFunc(left[heir], func(d displaced) bool { return d.Path == real })
			delete(rec.sources, real)
			if base != nil {
				left[heir] = append(left[heir], displaced{*base, from.Displaced})
			}
			if source != "" {
				rec.sources[real] = source
			}
		}
	}
	var all []*Record
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		rec := changed[name]
		name, version := rec.Displaced.Name, rec.Displaced.Version
		rec.Displaced = listOf(left[rec.Name()])
		rec.Displaced.Name, rec.Displaced.Version = name, version
		all = append(all, rec)
	}
	return all, nil
}

// A displaced is an entry of a list of what was displaced.
type displaced struct {
	plist.Entry
	from *plist.List
}

// listOf makes a list of entries of several. Names that were one file in one list are
// in it, too; the first one that is left becomes the first name.
func listOf(all []displaced) *plist.List {
	type file struct {
		from *plist.List
		body string
	}
	first := make(map[file]string)
	slices.SortStableFunc(all, func(a, b displaced) int { return plist.ComparePaths(a.Path, b.Path) })
	out := &plist.List{}
	for _, d := range all {
		e := d.Entry
		if n := len(out.Entries); n > 0 && out.Entries[n-1].Path == e.Path {
			continue
		}
		if linkable(&e) && e.Op != plist.OpDelete {
			f := file{d.from, bodyOf(&e)}
			if e.Link = first[f]; e.Link == "" {
				first[f] = e.Path
			}
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// checkDisplaced refuses what no list can tell: that something is displaced in a directory
// which itself displaced another thing than a directory.
func (p *planner) checkDisplaced(rec *Record) {
	for i := range rec.Displaced.Entries {
		real := rec.Displaced.Entries[i].Path
		for dir := path.Dir(real); dir != "."; dir = path.Dir(dir) {
			if e := rec.Displaced.Find(dir); e != nil && !e.Mode.IsDir() {
				p.refuse(real, "remove it first", "is in the way, and lies below /%s, where there was no directory before package %s", dir, rec.Name())
				break
			}
		}
	}
}

// checkSince refuses to undo a transaction at paths that other packages have got or
// given up since: what it displaced there, or they, would be taken for another's.
func (p *planner) checkSince(t *Transaction) error {
	numbers, err := p.historyNumbers()
	if err != nil {
		return err
	}
	then, now, next := make(map[string]int), make(map[string]int), make(map[string]int)
	for _, n := range numbers {
		about, err := p.readAbout(p.at(historyName, strconv.Itoa(n)))
		if err != nil {
			return err
		}
		for name, written := range about.recorded {
			now[name] = written
			if n <= t.Number {
				then[name] = written
			} else if next[name] == 0 {
				next[name] = n
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if _, own := t.recorded[name]; own || then[name] == now[name] {
			continue
		}
		was, err := p.readRecord(p.at(historyName, strconv.Itoa(next[name]), oldRecordsDir, name))
		if err != nil {
			return err
		}
		is, err := p.own().record(name)
		if err != nil {
			return err
		}
		p.since = append(p.since, is)
		for b, a := range pairs(t.Before, t.After) {
			e := a
			if a == nil {
				e = b
			}
			if isChanged(b, a) && (was.claimsAlone(e.Path) || is.claimsAlone(e.Path)) {
				p.refuse(e.Path, undoLater, "is not as transaction %d left it: package %s has come, changed or gone since", t.Number, name)
			}
		}
	}
	return nil
}

const undoLater = "undo the later ones first: sandbox-install history shows them"

// claimsAlone reports whether a package, if there is a record of it, has a claim to a path
// that it does not share.
func (r *Record) claimsAlone(real string) bool {
	if r == nil {
		return false
	}
	e := r.Installed.Find(real)
	return e != nil && claimOf(e) != aDir
}

// oldRecords reads the records that a transaction of the history changed, as they were
// before it.
func (r *Root) oldRecords(number int) (map[string]*Record, error) {
	dir := r.at(historyName, strconv.Itoa(number), oldRecordsDir)
	names, err := r.sys.readDir(dir)
	if err != nil {
		return nil, err
	}
	records := make(map[string]*Record, len(names))
	for _, name := range names {
		if records[name], err = r.readRecord(path.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return records, nil
}
