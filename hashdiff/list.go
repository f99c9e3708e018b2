package hashdiff

import (
	"fmt"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Diff returns what happened between two snapshots: everything that a path now
// has if it is another than before.
//
// A path of the same stamp was left alone. One that is another file, but has nothing
// else changed, was written as it was before, and is plist.ClassIdentical.
func Diff(before, after Source) (*plist.List, error) {
	d := &differ{list: &plist.List{}}
	if err := compare(before, after, d.pair); err != nil {
		return nil, err
	}
	d.finish()
	if err := d.list.Validate(); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	return d.list, nil
}

// A differ makes a list of pairs.
type differ struct {
	list  *plist.List
	marks []mark // one for each entry of list
	links []link

	met   bool // a path that is there before and after was met
	apart bool // it was another file: these are two trees, and stamps tell nothing

	dark   string // a directory whose names are not known before or after
	holes  trouble
	unread trouble
}

// A mark says of an entry how it came into the list.
type mark uint8

// An entry is unwritten if nothing tells that this very name was written: it stays
// only if something differs.
const unwritten mark = 1

// pair lists one path.
func (d *differ) pair(p pair) error {
	if !d.met && p.before != nil && p.after != nil {
		d.met, d.apart = true, !p.before.Stamp.isFile(&p.after.Stamp) || p.before.Stamp == Stamp{}
	}
	if d.isLeftAlone(&p) || d.isUnknown(&p) {
		return nil
	}
	d.loseSpecial(&p)
	before, after := p.before, p.after
	switch {
	case before == nil && after == nil:
	case after == nil:
		d.add(plist.Entry{Op: plist.OpDelete, Path: before.Path, Mode: before.Mode.Type()}, 0)
	case before == nil:
		d.addFile(p, plist.Entry{Op: plist.OpAdd}, 0)
	case before.Mode.Type() != after.Mode.Type():
		d.addFile(pair{after: after}, plist.Entry{Op: plist.OpModify, Changed: plist.ChangedType}, 0)
	default:
		d.modified(p)
	}
	return nil
}

// isLeftAlone reports whether a path is certainly as it was.
func (d *differ) isLeftAlone(p *pair) bool {
	return p.before != nil && p.after != nil && sameStamp(&p.before.Stamp, &p.after.Stamp) &&
		!p.before.Racy && p.before.Unread == "" && p.after.Unread == ""
}

// modified lists what is there before and after, as the same type.
func (d *differ) modified(p pair) {
	before, after := p.before, p.after
	changed := capture.Difference(&before.Entry, &after.Entry)
	if after.Mode.IsDir() {
		if changed != 0 {
			d.addFile(p, plist.Entry{Op: plist.OpModify, Changed: changed}, 0)
		}
		return
	}
	var m mark
	// The change time of the same file is set by a new name, too, and by chmod(2) to
	// what it was.
	if d.apart || before.Stamp.isFile(&after.Stamp) {
		m = unwritten
	}
	d.addFile(p, plist.Entry{Op: plist.OpModify, Changed: changed}, m)
}

// addFile lists something that is there; what says what happened to it.
func (d *differ) addFile(p pair, what plist.Entry, m mark) {
	e := p.after.Entry
	e.Op, e.Changed = what.Op, what.Changed
	if !e.Mode.IsDir() && e.Mode.Type() != fs.ModeSymlink {
		d.addLink(&p)
	}
	d.add(e, m)
}

func (d *differ) add(e plist.Entry, m mark) {
	d.list.Entries = append(d.list.Entries, e)
	d.marks = append(d.marks, m)
}

// finish turns what was collected into the list.
func (d *differ) finish() {
	d.resolveLinks()
	kept := d.list.Entries[:0]
	for i := range d.list.Entries {
		if !d.stays(i) {
			continue
		}
		e := d.list.Entries[i]
		if e.Op == plist.OpModify && e.Changed == 0 {
			e.Class = plist.ClassIdentical
		}
		kept = append(kept, e)
	}
	clear(d.list.Entries[len(kept):])
	d.list.Entries = kept
	d.holes.note(d.list, plist.NoteHole, "could not be looked into")
	d.unread.note(d.list, plist.NoteLost, "changed and could not be read")
}

// stays reports whether an entry belongs in the list.
func (d *differ) stays(i int) bool {
	e := &d.list.Entries[i]
	return e.Op != plist.OpModify || e.Changed != 0 || d.marks[i]&unwritten == 0
}
