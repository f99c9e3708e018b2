package plist

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestComparePathsIsWalkOrder lets the tree walk of the standard library judge:
// it reads each directory in bytewise order and meets it before its content.
func TestComparePathsIsWalkOrder(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a", "a!", "a.d", "a/b", "a/b c", "a/b/c", "a-", "a0", "b", ".x", "..y", "\xff", "\x01"}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(dir, p)
		if err == nil {
			err = relErr
		}
		want = append(want, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, ComparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted %q\nwalked %q", got, want)
	}
}

func TestFind(t *testing.T) {
	l := List{Entries: []Entry{{Path: "."}, {Path: "a"}, {Path: "a/b"}, {Path: "a!"}}}
	for i := range l.Entries {
		if got := l.Find(l.Entries[i].Path); got != &l.Entries[i] {
			t.Errorf("Find(%q) = %v", l.Entries[i].Path, got)
		}
	}
	if got := l.Find("a/"); got != nil {
		t.Errorf("Find(a/) = %v", got)
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		path, dir string
		want      bool
	}{
		{"a", ".", true},
		{".", ".", true},
		{"a", "a", true},
		{"a/b", "a", true},
		{"ab", "a", false},
		{"a", "a/b", false},
		{".", "a", false},
	} {
		if got := Within(tt.path, tt.dir); got != tt.want {
			t.Errorf("Within(%q, %q) = %v", tt.path, tt.dir, got)
		}
	}
}

func TestPackedRepairsHardLinks(t *testing.T) {
	file := func(path, link string, class Class) Entry {
		return Entry{Op: OpAdd, Class: class, Path: path, Mode: 0o644, Link: link, ModTime: time.Unix(1, 0)}
	}
	l := List{Name: "n", Entries: []Entry{
		file("a", "", ClassNoise),
		file("b", "a", ClassChanged),
		file("c", "a", ClassChanged),
		file("d", "", ClassChanged),
		file("e", "d", ClassChanged),
		file("f", "a", ClassShared),
	}}
	got := l.Packed()
	links := make(map[string]string)
	for _, e := range got.Entries {
		links[e.Path] = e.Link
	}
	want := map[string]string{"b": "", "c": "b", "d": "", "e": "d"}
	for path, link := range want {
		if got, ok := links[path]; !ok || got != link {
			t.Errorf("%s: hard link to %q, want %q", path, got, link)
		}
	}
	if len(links) != len(want) || got.Name != "n" {
		t.Errorf("packed %q of %q", links, got.Name)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// TestValidate holds one list for each thing that Validate refuses.
func TestValidate(t *testing.T) {
	at := time.Unix(1, 0)
	file := Entry{Op: OpAdd, Path: "f", Mode: 0o644, ModTime: at, Size: 1, Digest: Digest{1}}
	with := func(change func(*Entry)) Entry {
		e := file
		change(&e)
		return e
	}
	for _, tt := range []struct {
		want    string // "" if the list is good
		entries []Entry
	}{
		{"", []Entry{file}},
		{"empty path", []Entry{with(func(e *Entry) { e.Path = "" })}},
		{"not clean", []Entry{with(func(e *Entry) { e.Path = "/f" })}},
		{"not clean", []Entry{with(func(e *Entry) { e.Path = "a/../f" })}},
		{"not clean", []Entry{with(func(e *Entry) { e.Path = "f/" })}},
		{"NUL", []Entry{with(func(e *Entry) { e.Path = "f\x00" })}},
		{"out of order", []Entry{file, file}},
		{"out of order", []Entry{file, with(func(e *Entry) { e.Path = "e" })}},
		{"no operation", []Entry{with(func(e *Entry) { e.Op = 0 })}},
		{"no operation", []Entry{with(func(e *Entry) { e.Op = 4 })}},
		{"nothing to differ", []Entry{with(func(e *Entry) { e.Changed = ChangedMode })}},
		{"", []Entry{with(func(e *Entry) { e.Op, e.Changed = OpModify, ChangedMode })}},
		{"unknown class", []Entry{with(func(e *Entry) { e.Class = 99 })}},
		{"negative size", []Entry{with(func(e *Entry) { e.Size = -1 })}},
		{"", []Entry{{Op: OpDelete, Path: "f", Mode: fs.ModeDir}}},
		{"gone or only mentioned", []Entry{{Op: OpDelete, Path: "f", Mode: 0o644}}},
		{"gone or only mentioned", []Entry{{Op: OpDelete, Path: "f", Size: 1}}},
		{"", []Entry{{Op: OpModify, Path: "f", Changed: ChangedTime, Class: ClassShared}}},
		{"without a time", []Entry{{Op: OpModify, Path: "f", Changed: ChangedTime}}},
		{"symlink without target", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeSymlink}}},
		{"NUL byte", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeSymlink, Link: "a\x00b"}}},
		{"no name that can be", []Entry{with(func(e *Entry) { e.Xattrs = map[string]string{"user.\x00": ""} })}},
		{"no name that can be", []Entry{with(func(e *Entry) { e.Xattrs = map[string]string{"": ""} })}},
		{"directory is no hard link", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeDir, Link: "e"}}},
		{"only a regular file", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeDir, Size: 1}}},
		{"only a regular file", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeDir, Digest: Digest{1}}}},
		{"only a device", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeNamedPipe, Minor: 1}}},
		{"unknown kind of file", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeIrregular}}},
		{"unknown kind of file", []Entry{{Op: OpAdd, Path: "f", ModTime: at, Mode: fs.ModeAppend}}},
		{"the root", []Entry{{Op: OpAdd, Path: ".", ModTime: at, Mode: 0o644}}},
		{"the root", []Entry{{Op: OpDelete, Path: ".", Mode: fs.ModeDir}}},
		{"", []Entry{file, with(func(e *Entry) { e.Path, e.Link = "g", "f" })}},
		{"hard link to", []Entry{with(func(e *Entry) { e.Link = "e" })}},
		{"hard link to", []Entry{file, with(func(e *Entry) { e.Path, e.Link, e.UID = "g", "f", 1 })}},
		{"hard link to", []Entry{file, with(func(e *Entry) { e.Path, e.Link, e.Size = "g", "f", 2 })}},
		{"hard link to", []Entry{
			file, with(func(e *Entry) { e.Path, e.Link = "g", "f" }), with(func(e *Entry) { e.Path, e.Link = "h", "g" }),
		}},
		{"no directory", []Entry{file, with(func(e *Entry) { e.Path = "f/g" })}},
		{"no directory", []Entry{{Op: OpDelete, Path: "f", Mode: fs.ModeDir}, with(func(e *Entry) { e.Path = "f/g" })}},
		{"", []Entry{{Op: OpDelete, Path: "f", Mode: fs.ModeDir}, {Op: OpDelete, Path: "f/g"}, with(func(e *Entry) { e.Path = "f0" })}},
	} {
		err := (&List{Entries: tt.entries}).Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Validate(%+v) = %v, want %q", tt.entries, err, tt.want)
		}
	}
}

func TestValidateHeader(t *testing.T) {
	for _, tt := range []struct {
		list List
		want string
	}{
		{List{Prefix: "/"}, ""},
		{List{Prefix: "/usr/pkg"}, ""},
		{List{Prefix: "usr"}, "prefix"},
		{List{Prefix: "/usr/"}, "prefix"},
		{List{Notes: []Note{{"odd", "x"}}}, "kind of note"},
	} {
		err := tt.list.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Validate(%+v) = %v, want %q", tt.list, err, tt.want)
		}
	}
}
