package overlay

import "github.com/sandbox-install/sandbox-install/plist"

// A company is the links of each inode.
type company map[inodeKey][]link

// resolveLinks finishes the entries with several names, when all is known about
// each alone: it tells which of them only changed company, and names the first
// name of each inode.
func (w *walker) resolveLinks() {
	before, after := make(company), make(company)
	for _, n := range w.links.names {
		after[key(n.after)] = append(after[key(n.after)], n)
		if n.before.Nlink > 0 {
			before[key(n.before)] = append(before[key(n.before)], n)
		}
	}
	for _, n := range w.links.names {
		e := &w.list[n.entry]
		if e.Op == plist.OpModify && e.Changed == 0 && (after.joined(n) || w.left(n, before)) {
			e.Changed = plist.ChangedLinks
		}
	}
	for _, names := range after {
		w.nameFirst(names)
	}
}

// joined reports whether a name has the company of one that it did not have.
func (after company) joined(n link) bool {
	for _, other := range after[key(n.after)] {
		if other.before.Nlink == 0 || key(other.before) != key(n.before) {
			return true
		}
	}
	return false
}

// left reports whether a name was replaced by a copy of itself and so lost the
// company of one that is still there. A lower file keeps its inode number in
// merged when it is copied up.
func (w *walker) left(n link, before company) bool {
	if w.marks[n.entry]&unwritten != 0 || n.before.Ino == n.after.Ino {
		return false
	}
	for _, other := range before[key(n.before)] {
		if key(other.after) != key(n.after) {
			return true
		}
	}
	return false
}

// nameFirst sets Link in the entries of one inode, and what was read through one
// name only.
func (w *walker) nameFirst(names []link) {
	var first, opened *plist.Entry
	for _, n := range names {
		e := &w.list[n.entry]
		if w.stays(n.entry) && (first == nil || plist.ComparePaths(e.Path, first.Path) < 0) {
			first = e
		}
		if w.marks[n.entry]&laterName == 0 {
			opened = e
		}
	}
	for _, n := range names {
		e := &w.list[n.entry]
		if w.marks[n.entry]&laterName != 0 {
			e.Digest, e.Xattrs, e.Flags = opened.Digest, opened.Xattrs, opened.Flags
		}
		if first != nil && e != first {
			e.Link = first.Path
		}
	}
}

// stays reports whether an entry belongs in the list.
func (w *walker) stays(i int) bool {
	return w.list[i].Op != plist.OpModify || w.list[i].Changed != 0 || w.marks[i]&unwritten == 0
}
