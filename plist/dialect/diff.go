package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Difference is about a path that two lists do not say the same of.
type Difference struct {
	Path string
	Sign byte     // '-' only in the first, '+' only in the second, '~' in both
	What []string // what differs, of a path in both
}

// String is the sign, the path, and what differs.
func (d Difference) String() string {
	s := string(d.Sign) + " " + printable(d.Path)
	if len(d.What) > 0 {
		s += ": " + strings.Join(d.What, ", ")
	}
	return s
}

// DiffLists compares what two captures pack: paths below their own prefixes, so
// that prefixes may differ.
func DiffLists(a, b *plist.List) []Difference {
	index := func(l *plist.List) map[string]*plist.Entry {
		byPath := make(map[string]*plist.Entry)
		places := placesOf(l)
		for i := range places {
			name := places[i].path
			if places[i].outside {
				name = "/" + name
			}
			byPath[name] = places[i].Entry
		}
		return byPath
	}
	return differences(index(a), index(b), entryDifference)
}

// DiffItems compares two lists of ports trees by path.
func DiffItems(a, b []Item) []Difference {
	index := func(items []Item) map[string]*Item {
		byPath := make(map[string]*Item)
		prefix := ""
		for i := range items {
			switch it := &items[i]; it.Kind {
			case KindPrefix:
				prefix = it.Path
			case KindFile, KindDir, KindSample:
				byPath[shown(below(prefix, it.Path))] = it
			}
		}
		return byPath
	}
	return differences(index(a), index(b), itemDifference)
}

// below is where a path is that a list has behind a prefix: an absolute one is there,
// whatever the prefix, and "" is the first prefix, which is not known, but has names.
func below(prefix, path string) string {
	for _, name := range []string{"LOCALBASE", "PREFIX", "TRUEPREFIX"} {
		if rest, ok := strings.CutPrefix(prefix, Var(name)); ok {
			prefix = strings.TrimPrefix(rest, "/")
		}
	}
	if prefix == "" || strings.HasPrefix(path, "/") {
		return path
	}
	return strings.TrimSuffix(prefix, "/") + "/" + path
}

func differences[T any](a, b map[string]T, compare func(x, y T) []string) []Difference {
	var out []Difference
	for name, x := range a {
		if y, ok := b[name]; !ok {
			out = append(out, Difference{Path: name, Sign: '-'})
		} else if what := compare(x, y); what != nil {
			out = append(out, Difference{name, '~', what})
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, Difference{Path: name, Sign: '+'})
		}
	}
	slices.SortFunc(out, func(x, y Difference) int { return plist.ComparePaths(x.Path, y.Path) })
	return out
}

// entryDifference names what differs, with the words of the native form. Times
// differ between any two captures.
func entryDifference(x, y *plist.Entry) []string {
	if x.Mode.Type() != y.Mode.Type() {
		return []string{"type"}
	}
	var what []string
	say := func(differ bool, word string) {
		if differ {
			what = append(what, word)
		}
	}
	say(x.Digest != y.Digest || x.Major != y.Major || x.Minor != y.Minor || isSymlink(x) && x.Link != y.Link, "content")
	say(x.Mode != y.Mode, "mode")
	say(x.UID != y.UID || x.GID != y.GID, "owner")
	say(!maps.Equal(x.Xattrs, y.Xattrs), "xattr")
	say(x.Flags != y.Flags, "flags")
	return what
}

func itemDifference(x, y *Item) []string {
	var what []string
	say := func(differ bool, word string) {
		if differ {
			what = append(what, word)
		}
	}
	say(x.Kind != y.Kind || x.Type != y.Type, "type")
	say(Term(x.When).String() != Term(y.When).String(), "condition")
	say(x.Mode != y.Mode, "mode")
	say(x.Owner != y.Owner || x.Group != y.Group, "owner")
	return what
}
