package dialect

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sandbox-install/sandbox-install/plist"
)

// written are the changes that make a path that was there before the package's
// own: a new time means that it was written, even if with the same bytes.
const written = plist.ChangedContent | plist.ChangedType | plist.ChangedTime

// Items turns what l packs into items: files below the prefix in bytewise
// order, the directories that must be listed in reverse order as they are to be
// removed, the same for what lies outside the prefix, and at last comments
// about what no packing list can say. The list must be valid.
func Items(l *plist.List) []Item {
	var in, out section
	owner := usualOwner(l)
	prefix := strings.TrimPrefix(l.Prefix, "/")
	var told []Item
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.Packed() || e.Path == "." {
			continue
		}
		if !listed(e) {
			told = append(told, Item{Kind: KindComment, Text: remark(e)})
			continue
		}
		sec, path := &in, e.Path
		if prefix != "" {
			if path == prefix || !plist.Within(path, prefix) {
				sec = &out
			} else {
				path = path[len(prefix)+1:]
			}
		}
		it := Item{Kind: KindFile, Path: path}
		owner.apply(&it, e)
		sec.add(it, e.Mode.IsDir(), hasContent(l, i))
	}
	items := append([]Item{{Kind: KindID}}, in.items()...)
	if rest := out.items(); len(rest) > 0 {
		items = append(items, Item{Kind: KindPrefix, Path: "/"})
		items = append(items, rest...)
	}
	return append(items, told...)
}

// A section is what lies below one directory.
type section struct{ files, dirs []Item }

// add takes a directory only if it has to be listed: it would not be made on the
// way to a file, or not with its owner and mode.
func (s *section) add(it Item, dir, full bool) {
	switch {
	case !dir:
		s.files = append(s.files, it)
	case !full || it.Owner != "" || it.Mode != "":
		it.Kind = KindDir
		s.dirs = append(s.dirs, it)
	}
}

func (s *section) items() []Item {
	byPath := func(a, b Item) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(s.files, byPath)
	slices.SortFunc(s.dirs, byPath)
	slices.Reverse(s.dirs)
	return append(s.files, s.dirs...)
}

// hasContent reports whether something that is packed exists below entry i.
func hasContent(l *plist.List, i int) bool {
	for k := i + 1; k < len(l.Entries); k++ {
		e := &l.Entries[k]
		if !plist.Within(e.Path, l.Entries[i].Path) {
			return false
		}
		if e.Packed() && listed(e) {
			return true
		}
	}
	return false
}

// listed reports whether a path is the package's by what was done to it.
func listed(e *plist.Entry) bool {
	switch {
	case e.Op == plist.OpAdd || e.Changed&plist.ChangedType != 0:
		return true
	case e.Op == plist.OpDelete || e.Mode.IsDir():
		return false
	}
	return e.Changed&written != 0
}

// remark says what was done to a path that is not listed.
func remark(e *plist.Entry) string {
	if e.Op == plist.OpDelete {
		return "deleted: " + printable(e.Path)
	}
	return fmt.Sprintf("changed %s: %s mode %04o uid %d gid %d",
		e.Changed, printable(e.Path), plist.UnixPerm(e.Mode), e.UID, e.GID)
}

// printable quotes a path that would break a line.
func printable(path string) string {
	if strings.ContainsFunc(path, unicode.IsControl) {
		return strconv.Quote(path)
	}
	return path
}

// An owner is a user and a group by number.
type owner struct{ uid, gid uint32 }

// usualOwner is root, unless everything in the list belongs to one other user:
// the one who installed, and could make nothing of another owner.
func usualOwner(l *plist.List) owner {
	owners := make(map[owner]bool)
	for i := range l.Entries {
		if e := &l.Entries[i]; e.Packed() && e.Op == plist.OpAdd {
			owners[owner{e.UID, e.GID}] = true
		}
	}
	if len(owners) == 1 {
		for only := range owners {
			return only
		}
	}
	return owner{}
}

// apply sets owner, group and mode of it where they are not the usual ones.
func (o owner) apply(it *Item, e *plist.Entry) {
	if e.Mode.Type() == fs.ModeSymlink {
		return
	}
	if mode := plist.UnixPerm(e.Mode); !usualMode(mode) {
		it.Mode = fmt.Sprintf("%04o", mode)
	}
	if o != (owner{e.UID, e.GID}) {
		it.Owner, it.Group = userName(e.UID), groupName(e.GID)
	}
}

// usualMode reports whether an installer with some sane umask gives this mode to
// what everyone may use.
func usualMode(mode uint32) bool {
	exec := mode & 0o111
	return mode&0o7002 == 0 && mode&0o444 == 0o444 && (exec == 0 || exec == 0o111)
}

func userName(uid uint32) string {
	if uid == 0 {
		return "root"
	}
	return strconv.FormatUint(uint64(uid), 10)
}

func groupName(gid uint32) string { return userName(gid) }
