package hashdiff

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Diff returns what happened between two snapshots: everything that a path now
// has if it is another than before.
//
// A path of the same stamp was left alone. One that is another file, but has nothing
// else changed, was written as it was before, and is plist.ClassIdentical.
func Diff(before, after Source) (*plist.List, error) {
	d := &differ{}
	if err := compare(before, after, d.pair); err != nil {
		return nil, err
	}
	l, err := d.finish()
	if err == nil {
		err = l.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	return l, nil
}

// A differ makes a list of pairs. Until their number is known its entries wait as
// records of a snapshot, which take a fourth of the memory.
type differ struct {
	records  []byte
	last     string // path of the last of them
	verdicts []verdict
	links    []link
	firsts   map[int]string // first names, by verdict
	lost     []plist.Note

	met      bool // a path that is there before and after was met
	twoTrees bool // it was another file: these are two trees, and stamps tell nothing

	closed string // a directory whose names are not known before or after
	holes  trouble
	unread trouble
}

// A verdict is what happened to a path.
type verdict struct {
	op      plist.Op
	changed plist.Change

	// Nothing tells that this very name was written: it stays only if something
	// differs.
	unwritten bool
}

// stays reports whether the path belongs in the list.
func (v *verdict) stays() bool { return v.op != plist.OpModify || v.changed != 0 || !v.unwritten }

// pair lists one path.
func (d *differ) pair(p pair) error {
	if !d.met && p.before != nil && p.after != nil {
		d.met, d.twoTrees = true, !p.before.Stamp.isFile(&p.after.Stamp) || p.before.Stamp == Stamp{}
	}
	if d.isLeftAlone(&p) || d.isUnknown(&p) {
		return nil
	}
	d.loseSpecial(&p)
	before, after := p.before, p.after
	switch {
	case before == nil && after == nil:
	case after == nil:
		d.add(&plist.Entry{Path: before.Path, Mode: before.Mode.Type()}, verdict{op: plist.OpDelete})
	case before == nil:
		d.addFile(&p, verdict{op: plist.OpAdd})
	case before.Mode.Type() != after.Mode.Type():
		d.addFile(&pair{after: after}, verdict{op: plist.OpModify, changed: plist.ChangedType})
	default:
		d.modified(&p)
	}
	return nil
}

// isLeftAlone reports whether a path is certainly as it was.
func (d *differ) isLeftAlone(p *pair) bool {
	return p.before != nil && p.after != nil && sameStamp(&p.before.Stamp, &p.after.Stamp) &&
		!p.before.Racy && p.before.Unread == "" && p.after.Unread == ""
}

// modified lists what is there before and after, as the same type.
func (d *differ) modified(p *pair) {
	v := verdict{op: plist.OpModify, changed: capture.Difference(&p.before.Entry, &p.after.Entry)}
	if p.after.Mode.IsDir() {
		if v.changed != 0 {
			d.addFile(p, v)
		}
		return
	}
	// The change time of the same file is set by a new name, too, and by chmod(2) to
	// what it was.
	v.unwritten = d.twoTrees || p.before.Stamp.isFile(&p.after.Stamp)
	d.addFile(p, v)
}

// addFile lists something that is there.
func (d *differ) addFile(p *pair, v verdict) {
	if !p.after.Mode.IsDir() && p.after.Mode.Type() != fs.ModeSymlink {
		d.addLink(p)
	}
	d.add(&p.after.Entry, v)
}

func (d *differ) add(e *plist.Entry, v verdict) {
	d.records = appendRecord(d.records, d.last, &Record{Entry: *e, Hashed: e.Digest != plist.Digest{}})
	d.last = e.Path
	d.verdicts = append(d.verdicts, v)
}

// finish turns what was collected into the list.
func (d *differ) finish() (*plist.List, error) {
	d.resolveLinks()
	stay := 0
	for i := range d.verdicts {
		if d.verdicts[i].stays() {
			stay++
		}
	}
	l := &plist.List{Entries: make([]plist.Entry, 0, stay), Notes: d.lost}
	decode := decoder{b: d.records}
	var r Record
	for i, v := range d.verdicts {
		if decode.recordInto(&r, r.Path); decode.err != nil {
			return nil, decode.err
		}
		if v.stays() {
			l.Entries = append(l.Entries, v.entry(&r, d.firsts[i]))
		}
	}
	d.holes.note(l, plist.NoteHole, "could not be looked into")
	d.unread.note(l, plist.NoteLost, "changed and could not be read")
	return l, nil
}

// entry is a record with its verdict; first is the first name of its file, if that is
// another.
func (v *verdict) entry(r *Record, first string) plist.Entry {
	e := r.Entry
	e.Op, e.Changed = v.op, v.changed
	if v.op == plist.OpDelete {
		e.ModTime = time.Time{}
	}
	if v.op == plist.OpModify && v.changed == 0 {
		e.Class = plist.ClassIdentical
	}
	if first != "" {
		e.Link = first
	}
	return e
}
