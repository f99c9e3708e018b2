package hashdiff

import (
	"github.com/sandbox-install/sandbox-install/plist"
)

// A link is an entry that has, or had, more than one name. Whenever a name comes
// or goes the change time of the file is set, so all its names are met.
type link struct {
	verdict       int // index
	path          string
	before, after Stamp // before.Nlink is 0 if the name was not there as this type
}

// A linksOf holds the links of each inode.
type linksOf map[inodeKey][]link

// An inodeKey is the same for all names of a file.
type inodeKey struct {
	dev, ino uint64
	born     Time
}

func key(s *Stamp) inodeKey { return inodeKey{s.Dev, s.Ino, s.Born} }

// addLink notes that the entry to be added next has or had other names.
func (d *differ) addLink(p *pair) {
	n := link{verdict: len(d.verdicts), path: p.after.Path, after: p.after.Stamp}
	if p.before != nil {
		n.before = p.before.Stamp
	}
	if n.before.Nlink > 1 || n.after.Nlink > 1 {
		d.links = append(d.links, n)
	}
}

// resolveLinks tells which entries only got or lost other names, and gives the names of
// one inode their first name.
func (d *differ) resolveLinks() {
	before, after := make(linksOf), make(linksOf)
	for _, n := range d.links {
		after[key(&n.after)] = append(after[key(&n.after)], n)
		if n.before.Nlink > 0 {
			before[key(&n.before)] = append(before[key(&n.before)], n)
		}
	}
	for _, n := range d.links {
		v := &d.verdicts[n.verdict]
		if v.op == plist.OpModify && v.changed == 0 && (after.joined(n) || d.left(n, before)) {
			v.changed = plist.ChangedLinks
		}
	}
	d.firsts = make(map[int]string)
	for _, names := range after {
		d.nameFirst(names)
	}
}

// joined reports whether a name is now one of a file with another that it was not one with.
func (after linksOf) joined(n link) bool {
	for _, other := range after[key(&n.after)] {
		if other.before.Nlink == 0 || !other.before.isFile(&n.before) {
			return true
		}
	}
	return false
}

// left reports whether a name was replaced by a copy of itself and so lost the
// other names that are still there. In another tree it can not be told which
// of the two was replaced.
func (d *differ) left(n link, before linksOf) bool {
	if !d.twoTrees && n.before.isFile(&n.after) {
		return false
	}
	for _, other := range before[key(&n.before)] {
		if !other.after.isFile(&n.after) {
			return true
		}
	}
	return false
}

// nameFirst gives the names of one inode that stay the first of them.
// They are in the order of the list.
func (d *differ) nameFirst(names []link) {
	first := ""
	for _, n := range names {
		switch {
		case !d.verdicts[n.verdict].stays():
		case first == "":
			first = n.path
		default:
			d.firsts[n.verdict] = first
		}
	}
}
