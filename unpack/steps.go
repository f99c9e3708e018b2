package unpack

import (
	"io/fs"
	"iter"
	"path"
	"strconv"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// An action is how one place of the root changes.
type action uint8

const (
	place      action = iota + 1 // nothing is there; something comes
	exchange                     // something is there; something else comes
	remove                       // something is there; nothing comes
	attributes                   // the same file gets other attributes, in place
)

var actionNames = [...]string{place: "add", exchange: "replace", remove: "delete", attributes: "modify"}

func (a action) String() string { return actionNames[a] }

// A step is one change of the root. What lies below its path goes along with it:
// a whole new directory is one step, and so is a whole one that goes.
type step struct {
	action
	number        int
	path          string
	before, after *plist.Entry // nil if there is nothing
}

// temporary is the name beside the step's path that holds what comes until the
// swap, and what was there after it.
func (s *step) temporary(transaction int) string {
	return path.Join(path.Dir(s.path), temporaryPrefix+strconv.Itoa(transaction)+"-"+strconv.Itoa(s.number))
}

const temporaryPrefix = ".sandbox-install-"

// swaps reports whether the step is made by renaming.
func (s *step) swaps() bool { return s.action != attributes }

// displaces reports whether the step takes something out of its place.
func (s *step) displaces() bool { return s.action == exchange || s.action == remove }

// steps returns what leads from one list to another, in the order of paths. Both
// describe the same paths: what is in one alone comes or goes.
func steps(before, after *plist.List) []step {
	live := liveNames(before, after)
	var all []step
	for b, a := range pairs(before, after) {
		s := step{number: len(all), before: b, after: a}
		switch {
		case b == nil:
			s.action, s.path = place, a.Path
		case a == nil:
			s.action, s.path = remove, b.Path
		case contentDiffers(b, a), linkable(a) && !live[a.Path]:
			s.action, s.path = exchange, a.Path
		case capture.Difference(b, a) != 0:
			s.action, s.path = attributes, a.Path
		default:
			continue
		}
		if n := len(all); n > 0 && all[n-1].swaps() && s.path != "." && plist.Within(s.path, all[n-1].path) {
			continue
		}
		all = append(all, s)
	}
	return all
}

// pairs goes through two lists at once, in the order of paths.
func pairs(before, after *plist.List) iter.Seq2[*plist.Entry, *plist.Entry] {
	return func(yield func(b, a *plist.Entry) bool) {
		i, k := 0, 0
		for i < len(before.Entries) || k < len(after.Entries) {
			var b, a *plist.Entry
			order := 0
			switch {
			case i == len(before.Entries):
				order = +1
			case k == len(after.Entries):
				order = -1
			default:
				order = plist.ComparePaths(before.Entries[i].Path, after.Entries[k].Path)
			}
			if order <= 0 {
				b = &before.Entries[i]
				i++
			}
			if order >= 0 {
				a = &after.Entries[k]
				k++
			}
			if !yield(b, a) {
				return
			}
		}
	}
}

// contentDiffers reports whether two entries are of different kinds, or hold
// something else.
func contentDiffers(b, a *plist.Entry) bool {
	return capture.Difference(b, a)&(plist.ChangedType|plist.ChangedContent) != 0
}

// linkable reports whether e is a kind of file whose hard links a list tells.
func linkable(e *plist.Entry) bool {
	return !e.Mode.IsDir() && e.Mode.Type() != fs.ModeSymlink
}

// bodyOf returns the first name of the file that e names.
func bodyOf(e *plist.Entry) string {
	if e.IsHardlink() {
		return e.Link
	}
	return e.Path
}

// liveNames returns the names whose file stays the one it is. Of the names that
// are to be one file, the first that has the right content stays, and with it
// those that are links of it already; no two files come out of one. A file that has
// several names, before or after, stays only with its attributes: it may have more,
// whose attributes are no business of ours. Of one name alone, see adjust.
func liveNames(before, after *plist.List) map[string]bool {
	stays := make(map[string]string) // first name in after -> first name in before of the file that stays
	taken := make(map[string]bool)   // values of stays
	live := make(map[string]bool)
	linkedBefore, linkedAfter := linkedBodies(before), linkedBodies(after)
	for b, a := range pairs(before, after) {
		if b == nil || a == nil || !linkable(a) || contentDiffers(b, a) {
			continue
		}
		body, file := bodyOf(a), bodyOf(b)
		if (linkedBefore[file] || linkedAfter[body]) && capture.Difference(b, a) != 0 {
			continue
		}
		if stays[body] == "" && !taken[file] {
			stays[body], taken[file] = file, true
		}
		live[a.Path] = stays[body] == file
	}
	return live
}

// linkedBodies returns the first names of the files that have several in a list.
func linkedBodies(l *plist.List) map[string]bool {
	linked := make(map[string]bool)
	for i := range l.Entries {
		if e := &l.Entries[i]; linkable(e) && e.IsHardlink() {
			linked[e.Link] = true
		}
	}
	return linked
}
