package rebase

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// follow lets the records follow the files of these paths.
func (b *bed) follow(paths ...string) []Finding {
	b.Helper()
	list := &plist.List{}
	for _, p := range paths {
		list.Entries = append(list.Entries, plist.Entry{Path: p})
	}
	findings, err := Follow(context.Background(), b.root, Touched(b.root, b.db, list, list), b.db, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.db = b.reopened()
	return findings
}

func TestFollow(t *testing.T) {
	image := func(base uint64, seed byte) rebasetest.Options {
		return rebasetest.Options{Machine: rebasetest.AMD64, Base: base, Seed: seed}
	}
	tests := map[string]struct {
		change   func(b *bed)
		want     uint64 // the base of a.dll then recorded; 0 for none
		findings int
	}{
		"nothing happened": {func(b *bed) {}, 0x300000000, 0},
		"removed":          {func(b *bed) { b.remove("a.dll") }, 0, 0},
		"another image": {func(b *bed) {
			b.remove("a.dll")
			b.write(map[string]rebasetest.Options{"/a.dll": image(0x310000000, 4)})
		}, 0x310000000, 0},
		"no image":        {func(b *bed) { b.writeFile("/a.dll", []byte("text")) }, 0, 0},
		"a damaged image": {func(b *bed) { b.writeFile("/a.dll", b.read("/a.dll")[:0x200]) }, 0, 0},
		"a firmware image": {func(b *bed) {
			o := image(0, 4)
			o.Subsystem = 10
			b.write(map[string]rebasetest.Options{"/a.dll": o})
		}, 0, 0},
		"a directory": {func(b *bed) {
			b.remove("a.dll")
			if err := os.Mkdir(filepath.Join(b.dir, "a.dll"), 0o755); err != nil {
				b.Fatal(err)
			}
		}, 0, 0},
		"a collision": {func(b *bed) { b.write(map[string]rebasetest.Options{"/a.dll": image(0x320000000, 4)}) }, 0x320000000, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.write(map[string]rebasetest.Options{"/a.dll": image(0x300000000, 1), "/b.dll": image(0x320000000, 2)})
			b.writeFile("/new.dll", rebasetest.Image(image(0x330000000, 3)))
			b.apply(Policy{}, "/a.dll", "/b.dll")
			tt.change(b)
			if f := b.follow("a.dll", "new.dll", "readme.txt"); len(f) != tt.findings {
				t.Errorf("findings %v", f)
			}
			got := b.db.Find("/a.dll")
			if (got != nil) != (tt.want != 0) || got != nil && got.Base != tt.want {
				t.Errorf("recorded %+v, want base %#x", got, tt.want)
			}
			if r := b.db.Find("/new.dll"); r == nil || r.Base != 0x330000000 || b.db.Find("/b.dll") == nil {
				t.Errorf("others: %+v", b.db.Records())
			}
			if tt.findings == 0 {
				b.check()
			}
		})
	}
}

// TestFollowUnreadable keeps the record of a file that can not be looked at.
func TestFollowUnreadable(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{"/d/a.dll": {Machine: rebasetest.AMD64, Base: 0x300000000}})
	b.apply(Policy{}, "/d/a.dll")
	if err := os.RemoveAll(filepath.Join(b.dir, "d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d", filepath.Join(b.dir, "d")); err != nil {
		t.Fatal(err)
	}
	files := []File{{"/d/a.dll", "d/a.dll"}}
	if _, err := Follow(context.Background(), b.root, files, b.db, nil); err == nil || b.reopened().Find("/d/a.dll") == nil {
		t.Errorf("got %v", err)
	}
}

func TestRevert(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: 0x300000000}, "/b.dll": {Machine: rebasetest.AMD64, Base: 0x300000000}})
	b.apply(Policy{Stay: true}, "/a.dll")
	if err := b.db.Revert(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.db.Path); !os.IsNotExist(err) {
		t.Errorf("there is a database: %v", err)
	}
	b.db = NewDatabase(b.db.Path)
	b.apply(Policy{Stay: true}, "/a.dll")
	before := b.read("db")
	b.db = b.reopened()
	b.apply(Policy{}, "/b.dll")
	if bytes.Equal(before, b.read("db")) {
		t.Error("nothing was saved")
	}
	if err := b.db.Revert(); err != nil || !bytes.Equal(before, b.read("db")) {
		t.Errorf("not as before: %v", err)
	}
}
