package dialect

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sandbox-install/sandbox-install/plist"
)

// written are the changes that make a path that was there before the package's
// own: a new time means that it was written, even if with the same bytes.
const written = plist.ChangedContent | plist.ChangedType | plist.ChangedTime

// items turns what l packs into items, as it is: below the prefix, then outside
// of it, and at last comments about what no packing list can say. The list must
// be valid.
func (d *dialect) items(l *plist.List) []Item {
	places, told := placesOf(l)
	var in, out section
	for i := range places {
		p := &places[i]
		sec := &in
		if p.outside {
			sec = &out
		}
		sec.add(p, p.item(), d.walk)
	}
	return slices.Concat(join(in.items(), out.items()), told)
}

// join puts what is below the prefix and what is outside one after the other.
func join(in, out []Item) []Item {
	items := append([]Item{{Kind: KindID}}, in...)
	if len(out) > 0 {
		items = append(items, Item{Kind: KindPrefix, Path: "/"})
	}
	return append(items, out...)
}

// A place is an entry and where the packing list has it.
type place struct {
	*plist.Entry
	path    string // below the prefix; below the root if it is outside
	outside bool
	full    bool // a directory that something in the list is below
	owner   owner
}

// placesOf returns what is to be listed, and comments about the rest.
func placesOf(l *plist.List) (places []place, told []Item) {
	usual := usualOwner(l)
	prefix := strings.TrimPrefix(l.Prefix, "/")
	for i := range l.Entries {
		e := &l.Entries[i]
		switch {
		case !e.Packed():
			continue
		case !listed(e):
			told = append(told, Item{Kind: KindComment, Text: remark(e)})
			continue
		case e.Mode.IsDir() && (e.Path == "." || prefix != "" && plist.Within(prefix, e.Path)):
			continue // the prefix is there already, and what it is in
		}
		p := place{Entry: e, path: e.Path, owner: usual, full: e.Mode.IsDir() && hasContent(l, i)}
		if prefix != "" {
			if p.outside = !plist.Within(e.Path, prefix); !p.outside {
				p.path = e.Path[len(prefix)+1:]
			}
		}
		places = append(places, p)
	}
	return places, told
}

// item says what p is, with its owner and mode where they are not the usual ones.
func (p *place) item() Item {
	it := Item{Kind: KindFile, Path: p.path}
	if isSymlink(p.Entry) {
		return it
	}
	if p.Mode.IsDir() {
		it.Kind = KindDir
	}
	if mode := plist.UnixPerm(p.Mode); !usualMode(mode) {
		it.Mode = fmt.Sprintf("%04o", mode)
	}
	if p.UID != p.owner.uid {
		it.Owner = idName(p.UID)
	}
	if p.GID != p.owner.gid {
		it.Group = idName(p.GID)
	}
	return it
}

// A section is what lies below one directory.
type section struct {
	files []Item // with the directories, if each stands before what it holds
	dirs  []Item
}

// add takes a directory only if it has to be listed: all are, or it would not be
// made on the way to a file, or not with its owner and mode.
func (s *section) add(p *place, it Item, walk bool) {
	switch {
	case it.Kind == KindDir && !it.special() && standardDir.MatchString(it.Path):
	case it.Kind != KindDir, walk:
		s.files = append(s.files, it)
	case it.special(), !p.full:
		s.dirs = append(s.dirs, it)
	}
}

// standardDir matches the directories that every system or prefix has: those of
// hier(7), of the BSD.local.dist mtree files and of pkgsrc's common directories.
var standardDir = regexp.MustCompile(`^(usr/|usr/local/|usr/pkg/|opt/|var/)?(` + strings.Join([]string{
	`bin`, `sbin`, `lib`, `lib32`, `lib64`, `libexec`, `include`, `libdata`, `libdata/(ldconfig|pkgconfig)`,
	`lib/(pkgconfig|locale|cmake)`, `etc`, `etc/(rc\.d|conf\.d|profile\.d|init\.d|cron\.d)`, `usr`, `local`, `opt`, `var`, `srv`, `home`, `root`,
	`info`, `src`, `games`, `db`, `spool`, `cache`, `log`, `run`, `tmp`, `man`, `man/(man|cat)[1-9ln]`, `share`,
	`share/(doc|examples|info|locale|misc|nls|aclocal|applications|pixmaps|icons|fonts|pkgconfig|sounds|themes|games|licenses|mime|mime/packages|metainfo|appdata)`,
	`share/(dict|sgml|xml|emacs|emacs/site-lisp|vim|zsh|bash-completion|bash-completion/completions|zsh/site-functions|fish|fish/vendor_completions\.d)`,
	`share/icons/hicolor(/[^/]+(/[^/]+)?)?`, `share/locale/[^/]+(/LC_MESSAGES)?`,
	`share/man(/[^/]+)?`, `share/man/[^/]+/(man|cat)[1-9ln]`,
}, "|") + `)$`)

// items returns the files in bytewise order, and then the directories in
// reverse, as they are to be removed.
func (s *section) items() []Item {
	slices.SortStableFunc(s.files, compareItems)
	slices.SortStableFunc(s.dirs, func(a, b Item) int { return compareItems(b, a) })
	return append(s.files, s.dirs...)
}

// compareItems puts a sample behind its file, and a directory before its content.
func compareItems(a, b Item) int {
	return cmp.Or(strings.Compare(sortKey(&a), sortKey(&b)), cmp.Compare(a.Kind, b.Kind))
}

// sortKey is the path, with what the framework puts for a variable.
func sortKey(it *Item) string {
	switch {
	case it.Kind == KindSample && it.Text != "":
		return withValues(it.Text, frameworkValues)
	case it.Type == TypeRCScript:
		return "\xff" + it.Path // by custom the last
	}
	return strings.TrimSuffix(withValues(it.Path, frameworkValues), "/")
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
	if strings.ContainsFunc(path, func(c rune) bool { return c != 0 && unicode.IsControl(c) }) {
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

// usualMode reports whether an installer with some sane umask gives this mode to
// what everyone may use.
func usualMode(mode uint32) bool {
	exec := mode & 0o111
	return mode&0o7002 == 0 && mode&0o444 == 0o444 && (exec == 0 || exec == 0o111)
}

// idName names a user or group by number: a list knows no more.
func idName(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
