package dialect

import (
	"cmp"
	"fmt"
	"iter"
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
// be valid. It may be long: an item is made when its turn comes.
func (d *dialect) items(l *plist.List) iter.Seq[Item] {
	var in, out placement
	places := placesOf(l)
	for i := range places {
		p := &places[i]
		if p.outside {
			out.add(p, d.walk)
		} else {
			in.add(p, d.walk)
		}
	}
	in.sort()
	out.sort()
	return func(yield func(Item) bool) {
		_ = yield(Item{Kind: KindID}) &&
			in.each(yield) &&
			(out.empty() || d.absolute || yield(Item{Kind: KindPrefix, Path: "/"})) &&
			out.each(func(it Item) bool { return yield(d.outside(it)) }) &&
			remarks(l, yield)
	}
}

// outside returns an item outside of the prefix as it stands where all of those do: below
// another prefix, or by an absolute name.
func (d *dialect) outside(it Item) Item {
	if d.absolute && it.aboutPath() {
		it.Path = "/" + it.Path
		if it.Kind == KindSample && it.Text != "" {
			it.Text = "/" + it.Text
		}
	}
	return it
}

// A placement is a [section] of places that have not become items yet.
type placement struct{ files, dirs []*place }

func (s *placement) add(p *place, walk bool) {
	it := p.item()
	switch p.rank(&it, walk) {
	case amongFiles:
		s.files = append(s.files, p)
	case amongDirs:
		s.dirs = append(s.dirs, p)
	}
}

func (s *placement) sort() {
	slices.SortFunc(s.files, comparePlaces)
	slices.SortFunc(s.dirs, func(a, b *place) int { return comparePlaces(b, a) })
}

func (s *placement) empty() bool { return len(s.files)+len(s.dirs) == 0 }

func (s *placement) each(yield func(Item) bool) bool {
	for _, places := range [][]*place{s.files, s.dirs} {
		for _, p := range places {
			if !yield(p.item()) {
				return false
			}
		}
	}
	return true
}

// comparePlaces is compareItems before the items are made.
func comparePlaces(a, b *place) int { return strings.Compare(a.path, b.path) }

// join puts what is below the prefix and what is outside one after the other.
func (d *dialect) join(in, out []Item) []Item {
	items := append([]Item{{Kind: KindID}}, in...)
	if len(out) > 0 && !d.absolute {
		items = append(items, Item{Kind: KindPrefix, Path: "/"})
	}
	for _, it := range out {
		items = append(items, d.outside(it))
	}
	return items
}

// A place is an entry and where the packing list has it.
type place struct {
	*plist.Entry
	path    string // below the prefix; below the root if it is outside
	outside bool
	full    bool // a directory that something in the list is below
	owner   owner
}

// placesOf returns what is to be listed.
func placesOf(l *plist.List) []place {
	usual := usualOwner(l)
	prefix := strings.TrimPrefix(l.Prefix, "/")
	n := 0
	for i := range l.Entries {
		if isPlace(&l.Entries[i], prefix) {
			n++
		}
	}
	places := make([]place, 0, n) // there may be a million
	for i := range l.Entries {
		e := &l.Entries[i]
		if !isPlace(e, prefix) {
			continue
		}
		p := place{Entry: e, path: e.Path, owner: usual, full: e.Mode.IsDir() && hasContent(l, i)}
		if prefix != "" {
			if p.outside = !plist.Within(e.Path, prefix); !p.outside {
				p.path = e.Path[len(prefix)+1:]
			}
		}
		places = append(places, p)
	}
	return places
}

// isPlace reports whether an entry is to be listed: not the prefix, which is there
// already, nor what it is in.
func isPlace(e *plist.Entry, prefix string) bool {
	if !e.Packed() || !listed(e) {
		return false
	}
	return !e.Mode.IsDir() || e.Path != "." && (prefix == "" || !plist.Within(prefix, e.Path))
}

// remarks yields comments about what is packed and can not be listed.
func remarks(l *plist.List, yield func(Item) bool) bool {
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.Packed() && !listed(e) && !yield(Item{Kind: KindComment, Text: remark(e)}) {
			return false
		}
	}
	return true
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

// add takes a place as the item that it became.
func (s *section) add(p *place, it Item, walk bool) {
	switch p.rank(&it, walk) {
	case amongFiles:
		s.files = append(s.files, it)
	case amongDirs:
		s.dirs = append(s.dirs, it)
	}
}

// rank says where in a section something is listed.
type rank uint8

const (
	unlisted rank = iota
	amongFiles
	amongDirs
)

// rank has a directory listed only if it must be: if all are, or it would not be
// made on the way to a file, or not with its owner and mode.
func (p *place) rank(it *Item, walk bool) rank {
	switch {
	case it.Kind == KindDir && !it.special() && standardDir.MatchString(it.Path):
		return unlisted
	case it.Kind != KindDir, walk:
		return amongFiles
	case it.special(), !p.full:
		return amongDirs
	}
	return unlisted
}

// standardDir matches the directories that every system or prefix has: those of
// hier(7), of the BSD.local.dist mtree files and of pkgsrc's common directories.
var standardDir = regexp.MustCompile(`^(usr/|usr/local/|usr/pkg/|opt/|var/)?(` + strings.Join([]string{
	`bin`, `sbin`, `lib`, `lib32`, `lib64`, `libexec`, `include`, `libdata`, `libdata/(ldconfig|pkgconfig|perl5(/site_perl)?)`,
	`lib/(pkgconfig|locale|cmake)`, `lib/python[0-9.]+(/site-packages)?`, `lib/ruby(/(gems|site_ruby|vendor_ruby)(/[0-9.]+)?)?`,
	`lib/ruby/gems/[0-9.]+/(build_info|cache|doc|extensions|gems|plugins|specifications)`, `etc`, `etc/(rc\.d|conf\.d|profile\.d|init\.d|cron\.d)`, `usr`, `local`, `opt`, `var`, `srv`, `home`, `root`,
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

// compareItems puts a sample behind its file, a directory before its content, and absolute
// names behind all others.
func compareItems(a, b Item) int {
	return cmp.Or(strings.Compare(sortKey(&a), sortKey(&b)), cmp.Compare(a.Kind, b.Kind))
}

// sortKey is the path, with what the framework puts for a variable.
func sortKey(it *Item) string {
	switch {
	case it.Kind == KindSample && it.Text != "":
		return lastIfAbsolute(withValues(it.Text, frameworkValues))
	case it.Type == TypeRCScript:
		return "\xff" + it.Path // by custom the last
	}
	return lastIfAbsolute(strings.TrimSuffix(withValues(it.Path, frameworkValues), "/"))
}

func lastIfAbsolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return "\xfe" + path
	}
	return path
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
