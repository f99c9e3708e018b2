package capture

import (
	"io/fs"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

func TestDifference(t *testing.T) {
	file := plist.Entry{Mode: 0o644, ModTime: time.Unix(1, 2), Size: 3, Xattrs: map[string]string{"user.a": "1"}}
	of := func(change func(e *plist.Entry)) plist.Entry {
		e := file
		change(&e)
		return e
	}
	for _, c := range []struct {
		name  string
		after plist.Entry
		want  plist.Change
	}{
		{"nothing", of(func(e *plist.Entry) { e.ModTime = e.ModTime.UTC() }), 0},
		{"other names", of(func(e *plist.Entry) { e.Link, e.Path, e.Op = "x", "y", plist.OpModify }), 0},
		{"size", of(func(e *plist.Entry) { e.Size++ }), plist.ChangedContent},
		{"digest", of(func(e *plist.Entry) { e.Digest[0]++ }), plist.ChangedContent},
		{"set-id", of(func(e *plist.Entry) { e.Mode |= fs.ModeSetuid }), plist.ChangedMode},
		{"uid", of(func(e *plist.Entry) { e.UID++ }), plist.ChangedOwner},
		{"gid", of(func(e *plist.Entry) { e.GID++ }), plist.ChangedOwner},
		{"nanoseconds", of(func(e *plist.Entry) { e.ModTime = time.Unix(1, 3) }), plist.ChangedTime},
		{"no xattrs", of(func(e *plist.Entry) { e.Xattrs = nil }), plist.ChangedXattr},
		{"flags", of(func(e *plist.Entry) { e.Flags = 0x40 }), plist.ChangedFlags},
		{"type", of(func(e *plist.Entry) { e.Mode |= fs.ModeDir; e.UID++ }), plist.ChangedType},
		{"all", of(func(e *plist.Entry) { e.Size, e.Mode, e.Flags = 0, 0, 1 }), plist.ChangedContent | plist.ChangedMode | plist.ChangedFlags},
	} {
		if got := Difference(&file, &c.after); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	link := plist.Entry{Mode: fs.ModeSymlink, Link: "a"}
	if got := Difference(&link, &plist.Entry{Mode: fs.ModeSymlink, Link: "b"}); got != plist.ChangedContent {
		t.Errorf("target: %v", got)
	}
	device := plist.Entry{Mode: fs.ModeDevice, Major: 1, Minor: 2}
	if got := Difference(&device, &plist.Entry{Mode: fs.ModeDevice, Major: 1, Minor: 3}); got != plist.ChangedContent {
		t.Errorf("minor: %v", got)
	}
	dir := plist.Entry{Mode: fs.ModeDir}
	if got := Difference(&dir, &plist.Entry{Mode: fs.ModeDir, ModTime: time.Unix(1, 0)}); got != 0 {
		t.Errorf("time of a directory: %v", got)
	}
}
