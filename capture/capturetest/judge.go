package capturetest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Judge compares a list with two pictures.
type Judge struct {
	Before, After Picture

	// Since is a time before the run, if list and pictures are of two runs: times
	// from then on are not compared with each other.
	Since time.Time
}

// A verdict is what is to be said of one path.
type verdict struct {
	Op      plist.Op
	Changed plist.Change
	Shot
	Hardlink string // first name, of a later one
}

// Check reports as test errors what a list and its tree tell otherwise than the
// pictures. Entries of plist.ClassIdentical are not part of the difference, but
// must not be in it either.
func (j *Judge) Check(t testing.TB, l *plist.List, tree plist.Tree) {
	t.Helper()
	if err := l.Validate(); err != nil {
		t.Error(err)
	}
	want := j.truth()
	for i := range l.Entries {
		e := &l.Entries[i]
		w, differs := want[e.Path]
		delete(want, e.Path)
		if e.Class == plist.ClassIdentical {
			if differs {
				t.Errorf("%q: identical\nwant %+v", e.Path, w)
			}
			continue
		}
		if got := j.verdict(t, e, tree); !differs {
			t.Errorf("%q: %+v\nwant nothing", e.Path, got)
		} else if got != w {
			t.Errorf("%q:\n got %+v\nwant %+v", e.Path, got, w)
		}
	}
	for path, w := range want {
		t.Errorf("%q: missing\nwant %+v", path, w)
	}
}

// verdict says what a list says.
func (j *Judge) verdict(t testing.TB, e *plist.Entry, tree plist.Tree) verdict {
	t.Helper()
	v := verdict{Op: e.Op, Changed: e.Changed, Shot: Shot{Type: letter(e.Mode)}}
	if e.Op == plist.OpDelete {
		return v
	}
	v.Mode = strconv.FormatUint(uint64(plist.UnixPerm(e.Mode)), 8)
	v.Owner = fmt.Sprintf("%d:%d", e.UID, e.GID)
	v.Xattrs = xattrText(e.Xattrs)
	v.Flags = e.Flags
	if v.Type != "d" {
		v.Time = j.time(fmt.Sprintf("%d.%09d", e.ModTime.Unix(), e.ModTime.Nanosecond()))
	}
	switch v.Type {
	case "l":
		v.Link = e.Link
	case "b", "c":
		v.Device = fmt.Sprintf("%x:%x", e.Major, e.Minor)
	case "f":
		v.Size = strconv.FormatInt(e.Size, 10)
		v.Sum = sum(t, tree, e)
	}
	if e.IsHardlink() {
		v.Hardlink = e.Link
	}
	return v
}

func letter(mode fs.FileMode) string {
	return map[fs.FileMode]string{
		0: "f", fs.ModeDir: "d", fs.ModeSymlink: "l", fs.ModeNamedPipe: "p", fs.ModeSocket: "s",
		fs.ModeDevice: "b", fs.ModeDevice | fs.ModeCharDevice: "c",
	}[mode.Type()]
}

func sum(t testing.TB, tree plist.Tree, e *plist.Entry) string {
	t.Helper()
	f, err := tree.Open(e.Path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// time makes all times of the run equal.
func (j *Judge) time(s string) string {
	var sec int64
	if _, err := fmt.Sscanf(s, "%d.", &sec); err == nil && !j.Since.IsZero() && sec >= j.Since.Unix() {
		return "now"
	}
	return s
}

// truth tells what the pictures say of all paths of which there is something to
// be said.
func (j *Judge) truth() map[string]verdict {
	want := make(map[string]verdict)
	linkBefore, linkAfter := j.Before.inodes(), j.After.inodes()
	for path := range j.Before {
		if v, ok := j.fate(path); ok {
			want[path] = v
		}
	}
	for path, s := range j.After {
		if _, ok := j.Before[path]; !ok && s.Type != "s" {
			want[path] = verdict{Op: plist.OpAdd, Shot: j.shown(s)}
		}
	}
	for path, v := range want {
		if v.Op == plist.OpModify && v.Changed == 0 {
			if !j.changedLinks(path, linkBefore, linkAfter) {
				delete(want, path)
				continue
			}
			v.Changed = plist.ChangedLinks
			want[path] = v
		}
	}
	for _, names := range linkAfter {
		nameFirst(want, names)
	}
	return want
}

// fate tells what became of a path that was there: an OpModify without any change
// if it may be its links. A socket can not be listed.
func (j *Judge) fate(path string) (verdict, bool) {
	before := j.Before[path]
	after, there := j.After[path]
	v := verdict{Op: plist.OpModify, Shot: j.shown(after)}
	switch {
	case before.Type == "s" && after.Type == "s":
		return v, false
	case !there || after.Type == "s":
		return verdict{Op: plist.OpDelete, Shot: Shot{Type: before.Type}}, true
	case before.Type != after.Type:
		v.Changed = plist.ChangedType
		return v, true
	}
	v.Changed = difference(j.shown(before), v.Shot)
	return v, v.Changed != 0 || after.Type != "d" && after.Type != "l"
}

// shown leaves away what a list does not tell.
func (j *Judge) shown(s Shot) Shot {
	s.Inode, s.Links = "", ""
	s.Time = j.time(s.Time)
	if s.Type == "d" {
		s.Time = ""
	}
	return s
}

func difference(before, after Shot) plist.Change {
	var c plist.Change
	for _, d := range []struct {
		change  plist.Change
		differs bool
	}{
		{plist.ChangedContent, before.Sum != after.Sum || before.Link != after.Link || before.Device != after.Device},
		{plist.ChangedMode, before.Mode != after.Mode},
		{plist.ChangedOwner, before.Owner != after.Owner},
		{plist.ChangedTime, before.Time != after.Time},
		{plist.ChangedXattr, before.Xattrs != after.Xattrs},
		{plist.ChangedFlags, before.Flags != after.Flags},
	} {
		if d.differs {
			c |= d.change
		}
	}
	return c
}

// inodes returns the names of each inode that has several, in the order of a
// list. A list knows symlinks only apart, and a file that is mounted elsewhere is
// no hard link.
func (p Picture) inodes() map[string][]string {
	names := make(map[string][]string)
	for _, path := range slices.SortedFunc(maps.Keys(p), plist.ComparePaths) {
		if s := p[path]; !strings.Contains("dls", s.Type) && s.Links != "1" {
			names[s.Inode] = append(names[s.Inode], path)
		}
	}
	return names
}

// changedLinks reports whether a name that is as it was got the company of one
// that it did not have before, or was replaced and lost the company of one that
// is still there.
func (j *Judge) changedLinks(path string, before, after map[string][]string) bool {
	inodeBefore, inode := j.Before[path].Inode, j.After[path].Inode
	for _, other := range after[inode] {
		if j.Before[other].Inode != inodeBefore || j.Before[other].Type != j.After[other].Type {
			return true
		}
	}
	for _, other := range before[inodeBefore] {
		s, ok := j.After[other]
		if ok && s.Type == j.Before[other].Type && s.Inode != inode && number(inode) != number(inodeBefore) {
			return true
		}
	}
	return false
}

// number cuts off the device of an inode: the two sides of an overlay differ in it.
func number(inode string) string {
	_, ino, _ := strings.Cut(inode, ":")
	return ino
}

// nameFirst sets the first listed name of an inode in all its later ones.
func nameFirst(want map[string]verdict, names []string) {
	first := ""
	for _, name := range names {
		v, ok := want[name]
		if !ok {
			continue
		}
		if v.Hardlink = first; first == "" {
			first = name
		}
		want[name] = v
	}
}
