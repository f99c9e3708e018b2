package hashdiff

import (
	"fmt"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A trouble counts paths that could not be read, and remembers the first: an
// ordinary user meets thousands of them.
type trouble struct {
	count       int
	path, cause string
}

func (t *trouble) add(p *pair) {
	if t.count++; t.count > 1 {
		return
	}
	for _, r := range []*Record{p.after, p.before} {
		if r != nil && r.Unread != "" {
			t.path, t.cause = r.Path, r.Unread
		}
	}
}

func (t *trouble) note(l *plist.List, kind plist.NoteKind, text string) {
	if t.count == 0 {
		return
	}
	more := ""
	if t.count > 1 {
		more = fmt.Sprintf(" and %d more", t.count-1)
	}
	l.Notes = append(l.Notes, plist.Note{Kind: kind, Text: fmt.Sprintf("%q%s %s: %s", "/"+t.path, more, text, t.cause)})
}

// isUnknown reports whether it can not be told what became of a path, and counts
// it. Below a directory that was closed once, nothing is known.
func (d *differ) isUnknown(p *pair) bool {
	path := p.path()
	if d.closed != "" && plist.Within(path, d.closed) {
		return true
	}
	if !p.before.isUnread() && !p.after.isUnread() {
		return false
	}
	switch {
	case p.before.isDir() || p.after.isDir():
		d.closed = path
		d.holes.add(p)
	case p.before == nil || p.after == nil || !sameStamp(&p.before.Stamp, &p.after.Stamp):
		d.unread.add(p)
	}
	return true
}

func (r *Record) isUnread() bool { return r != nil && r.Unread != "" }
func (r *Record) isDir() bool    { return r != nil && r.Mode.IsDir() }

// loseSpecial turns what no list can hold into nothing and says so: sockets, and
// on some systems other things that are no files.
func (d *differ) loseSpecial(p *pair) {
	if p.after.isSpecial() && !d.isAsBefore(p) {
		d.lost = append(d.lost, plist.Note{
			Kind: plist.NoteLost,
			Text: fmt.Sprintf("%s %q was made or changed, and neither list nor tarball can hold it", p.after.special(), "/"+p.after.Path),
		})
	}
	if p.after.isSpecial() {
		if p.after = nil; p.before.isSpecial() {
			p.before = nil
		}
	}
	if p.before != nil && p.before.Mode.Type() == fs.ModeIrregular {
		p.before = nil
	}
}

// isAsBefore reports whether nothing differs, as far as stamps tell.
func (d *differ) isAsBefore(p *pair) bool {
	return p.before != nil && (d.twoTrees || sameStamp(&p.before.Stamp, &p.after.Stamp)) &&
		capture.Difference(&p.before.Entry, &p.after.Entry) == 0
}

func (r *Record) isSpecial() bool { return r.special() != "" }

// special names what no list can hold; "" if a list can hold it.
func (r *Record) special() string {
	switch {
	case r == nil:
	case r.Mode.Type() == fs.ModeSocket:
		return "socket"
	case r.Mode&fs.ModeIrregular != 0:
		return "special file"
	}
	return ""
}
