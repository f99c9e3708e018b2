package overlay

import (
	"cmp"
	"iter"
	"slices"

	"github.com/sandbox-install/sandbox-install/plist"
)

// resolveLinks finishes the entries with several names, when all is known about
// each alone: it tells which of them only changed company, and names the first
// name of each inode. It sorts the names in place: there may be a million.
func (w *walker) resolveLinks() {
	for names := range w.links.groups(wasInode) {
		// A name that was replaced by a copy of itself has left those that were not.
		for _, n := range names {
			if n.before.Nlink > 0 && w.isCopy(n) && (differ(names, isInode) || w.leftUnmet(n)) {
				w.changeLinks(n)
			}
		}
	}
	for names := range w.links.groups(isInode) {
		if differ(names, wasInode) { // some have joined the others
			for _, n := range names {
				w.changeLinks(n)
			}
		}
		w.nameFirst(names)
	}
}

func wasInode(n *link) inodeKey { return key(n.before) }
func isInode(n *link) inodeKey  { return key(n.after) }

// groups yields the names of each inode.
func (l *links) groups(inode func(*link) inodeKey) iter.Seq[[]link] {
	slices.SortFunc(l.names, func(a, b link) int {
		i, j := inode(&a), inode(&b)
		return cmp.Or(cmp.Compare(i.dev, j.dev), cmp.Compare(i.ino, j.ino), cmp.Compare(a.entry, b.entry))
	})
	return func(yield func([]link) bool) {
		for from, to := 0, 0; from < len(l.names); from = to {
			for to < len(l.names) && inode(&l.names[to]) == inode(&l.names[from]) {
				to++
			}
			if !yield(l.names[from:to]) {
				return
			}
		}
	}
}

// differ reports whether names do not all have one inode.
func differ(names []link, inode func(*link) inodeKey) bool {
	return slices.ContainsFunc(names, func(n link) bool { return inode(&n) != inode(&names[0]) })
}

// isCopy reports whether a name has an inode of its own now. A lower file keeps
// its inode number in merged when it is copied up.
func (w *walker) isCopy(n link) bool {
	return w.marks[n.entry]&unwritten == 0 && !n.copiedUp
}

// leftUnmet reports whether a name was replaced that had company which the walk did
// not meet, and which was not looked for since it is as it was.
func (w *walker) leftUnmet(n link) bool {
	l := w.links.lowers[key(n.before)]
	return w.layer.parts() && l.met < l.nlink && w.isCopy(n)
}

// changeLinks says of an entry that is as it was that its company is not.
func (w *walker) changeLinks(n link) {
	if e := &w.list[n.entry]; e.Op == plist.OpModify && e.Changed == 0 {
		e.Changed = plist.ChangedLinks
	}
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
	if w.marks[i]&closed != 0 {
		return false
	}
	return w.list[i].Op != plist.OpModify || w.list[i].Changed != 0 || w.marks[i]&unwritten == 0
}
