package rebase

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// applyUntilSaved is Apply, killed between saving the database and giving the
// new files their names.
func (b *bed) applyUntilSaved(p Policy, names ...string) {
	b.Helper()
	plan := b.plan(p, names...)
	jobs := plan.jobs()
	if err := each(context.Background(), jobs, (*job).stage); err != nil {
		b.Fatal(err)
	}
	for _, j := range jobs {
		if j.err != nil {
			b.Fatal(j.err)
		}
		b.db.Put(j.record)
	}
	if err := b.db.Save(); err != nil {
		b.Fatal(err)
	}
	b.db = b.reopened()
}

func (b *bed) findings() []Finding {
	b.Helper()
	findings, err := Check(context.Background(), b.root, b.db, nil)
	if err != nil {
		b.Fatal(err)
	}
	return findings
}

func TestCrash(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	b.applyUntilSaved(Policy{}, "/a.dll")
	if !bytes.Equal(b.read("/a.dll"), before["/a.dll"]) {
		t.Fatal("the file is not the old one")
	}
	if f := b.findings(); len(f) != 1 || f[0].Problem != Pending {
		t.Errorf("findings %v", f)
	}

	b.apply(Policy{}, "/a.dll")
	b.check()
	checkNoLitter(t, b.dir)

	// a second move that crashes must not forget what was before the first
	r := b.db.Find("/a.dll")
	r.Base = 0x300000000 // another tool's doing
	b.db.Put(*r)
	b.applyUntilSaved(Policy{}, "/a.dll")
	b.apply(Policy{}, "/a.dll")
	b.check()
	b.undoAll([]string{"/a.dll"})
	if !bytes.Equal(b.read("/a.dll"), before["/a.dll"]) {
		t.Error("not restored after two moves and a crash")
	}
}

// TestCrashInUndo has the original back, but the record still there.
func TestCrashInUndo(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	b.apply(Policy{}, "/a.dll")
	b.writeFile("/a.dll", before["/a.dll"])
	b.undoAll([]string{"/a.dll"})
	if !bytes.Equal(b.read("/a.dll"), before["/a.dll"]) || b.reopened().Find("/a.dll") != nil {
		t.Error("undo was not finished")
	}
}

func (b *bed) remove(name string) {
	b.Helper()
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.Fatal(err)
	}
}

// TestCancel leaves everything as it was.
func TestCancel(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	plan := b.plan(Policy{}, "/a.dll")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := plan.Apply(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(b.db.Path); err == nil || !bytes.Equal(before["/a.dll"], b.read("/a.dll")) {
		t.Error("something was written")
	}
	checkNoLitter(t, b.dir)
}

// TestUnwritable can not save the database, and so moves nothing.
func TestUnwritable(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	b.db.Path = filepath.Join(b.dir, "none", "db")
	if err := b.plan(Policy{}, "/a.dll").Apply(context.Background()); err == nil {
		t.Error("no error")
	}
	if !bytes.Equal(before["/a.dll"], b.read("/a.dll")) {
		t.Error("the file was moved, but is not recorded")
	}
	checkNoLitter(t, b.dir)
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		want Problem
		harm func(b *bed)
	}{
		"missing":        {Missing, func(b *bed) { b.remove("a.dll") }},
		"a changed byte": {Modified, func(b *bed) { c := b.read("/a.dll"); c[0x500]++; b.writeFile("/a.dll", c) }},
		"another image": {Modified, func(b *bed) {
			b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.I386, Base: 0x10000000}})
		}},
		"no image":         {Modified, func(b *bed) { b.writeFile("/a.dll", []byte("no image")) }},
		"past not to have": {Broken, func(b *bed) { b.db.Find("/a.dll").Was.CheckSum++ /* shared by the copy */ }},
		"collision": {Collides, func(b *bed) {
			r := *b.db.Find("/b.dll")
			r.Size = 2 * Granularity
			b.db.Put(r)
			r.Name, r.Base = "/a.dll", r.Base+Granularity
			b.db.Put(r)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}, "/b.dll": {Machine: rebasetest.AMD64, Base: 0x340000000}})
			b.apply(Policy{}, "/a.dll", "/b.dll")
			b.check()
			tt.harm(b)
			if f := b.findings(); len(f) == 0 || f[0].Name != "/a.dll" || f[0].Problem != tt.want {
				t.Errorf("findings %v", f)
			}
		})
	}
}

// TestRefusesChangedFile replaces the file between plan and rename.
func TestRefusesChangedFile(t *testing.T) {
	for name, when := range map[string]string{"before it is read": "stage", "before the rename": "commit"} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
			jobs := b.plan(Policy{}, "/a.dll").jobs()
			if when == "stage" {
				b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64, Seed: 1}})
			}
			err := jobs[0].prepare()
			if when == "commit" {
				b.replaceLike("/a.dll")
				err = jobs[0].commit()
			}
			if err != errChanged {
				t.Errorf("got %v", err)
			}
		})
	}
}

// replaceLike puts another file of the same length and time in a file's place.
func (b *bed) replaceLike(name string) {
	b.Helper()
	info, err := os.Stat(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	b.writeFile("/new", make([]byte, info.Size()))
	if err := os.Chtimes(filepath.Join(b.dir, "new"), info.ModTime(), info.ModTime()); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(filepath.Join(b.dir, "new"), filepath.Join(b.dir, name)); err != nil {
		b.Fatal(err)
	}
}

// TestUndoRefusesModified keeps what somebody did to a moved image.
func TestUndoRefusesModified(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	b.apply(Policy{}, "/a.dll")
	content := b.read("/a.dll")
	content[rebasetest.Data+20]++
	b.writeFile("/a.dll", content)
	placements, err := Undo(context.Background(), b.root, []File{{"/a.dll", "a.dll"}}, b.db)
	if err != nil || placements[0].Action != Fail || !bytes.Equal(content, b.read("/a.dll")) || b.db.Find("/a.dll") == nil {
		t.Errorf("got %+v, %v", placements, err)
	}
}

// TestHardLinks moves a file that has two names.
func TestHardLinks(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{"/b.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	b.apply(Policy{}, "/b.dll")
	b.undoAll([]string{"/b.dll"})
	if err := os.Link(filepath.Join(b.dir, "b.dll"), filepath.Join(b.dir, "a.dll")); err != nil {
		t.Fatal(err)
	}
	b.apply(Policy{Stay: true}, "/b.dll")
	if got := told(b.apply(Policy{}, "/a.dll", "/b.dll")); got != "/b.dll move 0x3fffe0000\n" {
		t.Errorf("got\n%s", got)
	}
	b.check()
	b.checkLinked()
	b.undoAll([]string{"/a.dll", "/b.dll"})
	b.checkLinked()
	if !bytes.Equal(before["/b.dll"], b.read("/a.dll")) {
		t.Error("not restored")
	}
}

// checkLinked makes sure that a.dll and b.dll are one file.
func (b *bed) checkLinked() {
	b.Helper()
	one, err1 := os.Stat(filepath.Join(b.dir, "a.dll"))
	two, err2 := os.Stat(filepath.Join(b.dir, "b.dll"))
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		b.Error("no longer two names of one file")
	}
}

// TestAttributes keeps mode and times.
func TestAttributes(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64}})
	name := filepath.Join(b.dir, "a.dll")
	if err := os.Chmod(name, 0o2751|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Unix(1, 5), time.Unix(1, 5)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	b.apply(Policy{}, "/a.dll")
	after, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) || before.Mode() != after.Mode() || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("%v %v became %v %v", before.Mode(), before.ModTime(), after.Mode(), after.ModTime())
	}
}
