package rebase

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// A bed is a directory of images with a database.
type bed struct {
	testing.TB
	dir  string
	root *Root
	db   *Database
}

func newBed(t testing.TB) *bed {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &bed{t, dir, &Root{Root: root}, NewDatabase(filepath.Join(dir, "db"))}
}

// write makes the images, by name, and returns their bytes.
func (b *bed) write(images map[string]rebasetest.Options) map[string][]byte {
	b.Helper()
	content := make(map[string][]byte)
	for name, o := range images {
		content[name] = rebasetest.Image(o)
		b.writeFile(name, content[name])
	}
	return content
}

func (b *bed) writeFile(name string, content []byte) {
	b.Helper()
	full := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(full, content, 0o755); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) read(name string) []byte {
	b.Helper()
	content, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	return content
}

func (b *bed) plan(p Policy, names ...string) *Plan {
	b.Helper()
	var files []File
	for _, name := range names {
		f, err := b.root.FileOf(name)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, f)
	}
	p.Database = b.db
	if p.Target == "" {
		p.Target = TargetCygwin
	}
	plan, err := NewPlan(context.Background(), b.root, files, &p)
	if err != nil {
		b.Fatal(err)
	}
	return plan
}

func (b *bed) apply(p Policy, names ...string) *Plan {
	b.Helper()
	plan := b.plan(p, names...)
	if err := plan.Apply(context.Background()); err != nil {
		b.Fatal(err)
	}
	return plan
}

// check fails the test if the database and the files are not in order.
func (b *bed) check(respect ...*Database) {
	b.Helper()
	findings, err := Check(context.Background(), b.root, b.db, respect)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range findings {
		b.Errorf("%s: %s: %s %v", f.Name, f.Problem, f.Reason, f.With)
	}
}

// told renders what a plan says, a line a file.
func told(p *Plan) string {
	var s strings.Builder
	for _, pl := range p.Placements {
		fmt.Fprintf(&s, "%s %s", pl.Name, pl.Action)
		if pl.Action == Move {
			fmt.Fprintf(&s, " %#x", pl.To)
		}
		if pl.Rule != "" {
			fmt.Fprintf(&s, " %s", pl.Rule)
		}
		if len(pl.With) > 0 {
			fmt.Fprintf(&s, " with %s", strings.Join(pl.With, ","))
		}
		s.WriteString("\n")
	}
	return s.String()
}

const defaultBase64 = 0x180000000

func TestPlan(t *testing.T) {
	dll := func(base uint64, pages int) rebasetest.Options {
		return rebasetest.Options{Machine: rebasetest.AMD64, Base: base, Pages: pages}
	}
	dll32 := func(base uint64, pages int) rebasetest.Options {
		return rebasetest.Options{Machine: rebasetest.I386, Base: base, Pages: pages}
	}
	tests := map[string]struct {
		images map[string]rebasetest.Options
		policy Policy
		want   string
	}{
		"from the top, large ones first, with slack": {
			images: map[string]rebasetest.Options{"/a": dll(defaultBase64, 1), "/b": dll(defaultBase64, 200)},
			want:   "/a move 0x3ffef0000\n/b move 0x3fff10000\n",
		},
		"out of the way of nobody, it stays": {
			images: map[string]rebasetest.Options{"/a": dll(0x340000000, 1), "/b": dll(0x350000000, 1)},
			want:   "/a keep\n/b keep\n",
		},
		"of two on one base the smaller moves": {
			images: map[string]rebasetest.Options{"/a": dll(0x340000000, 1), "/b": dll(0x340000000, 2)},
			want:   "/a move 0x3fffe0000\n/b keep\n",
		},
		"machines have an address space each": {
			images: map[string]rebasetest.Options{"/a": dll32(0x10000000, 1), "/b": dll(0x340000000, 1), "/c": {Machine: rebasetest.ARM64, Base: 0x340000000}},
			want:   "/a keep\n/b keep\n/c keep\n",
		},
		"outside the target's room it moves": {
			images: map[string]rebasetest.Options{"/a": dll(0x500000000, 1), "/b": dll32(0x71000000, 1)},
			want:   "/a move 0x3fffe0000\n/b move 0x6ffe0000\n",
		},
		"Windows takes any address": {
			images: map[string]rebasetest.Options{"/a": dll(0x7ff000000000, 1), "/b": dll(defaultBase64, 1), "/c": dll(defaultBase64, 1)},
			policy: Policy{Target: TargetWindows},
			want:   "/a keep\n/b keep\n/c move 0x7effffe0000\n",
		},
		"keep-out": {
			images: map[string]rebasetest.Options{"/a": dll(0x340000000, 1), "/b": dll(defaultBase64, 1)},
			policy: Policy{KeepOut: []Range{{0x340000001, 0x340000002}, {0x3ff000001, 0x400000000}}},
			want:   "/a move 0x3fefe0000\n/b move 0x3fefc0000\n",
		},
		"pins": {
			images: map[string]rebasetest.Options{"/x/a": dll(defaultBase64, 1), "/x/b": dll(defaultBase64, 1), "/x/c": dll(defaultBase64, 1)},
			policy: Policy{Pins: []Pin{{"a", 0}, {"/*/b", 0x300000000}}},
			want:   "/x/a left pinned\n/x/b move 0x300000000\n/x/c move 0x3fffe0000\n",
		},
		"compacting keeps pins": {
			images: map[string]rebasetest.Options{"/a": dll(defaultBase64, 1), "/b": dll(0x340000000, 1)},
			policy: Policy{Compact: true, Pins: []Pin{{"a", 0x300000000}}},
			want:   "/a move 0x300000000\n/b move 0x3fffe0000\n",
		},
		"a pin is before what only happens to be there": {
			images: map[string]rebasetest.Options{"/a": dll(0x300000000, 9), "/b": dll(defaultBase64, 1)},
			policy: Policy{Pins: []Pin{{"b", 0x300000000}}},
			want:   "/a move 0x3fffe0000\n/b move 0x300000000\n",
		},
		"two pinned to one place": {
			images: map[string]rebasetest.Options{"/a": dll(defaultBase64, 2), "/b": dll(defaultBase64, 1)},
			policy: Policy{Pins: []Pin{{"*", 0x300000000}}},
			want:   "/a move 0x300000000\n/b fail with /a\n",
		},
		"what can not move has its place first": {
			images: map[string]rebasetest.Options{"/a": dll(0x340000000, 9), "/b": {Machine: rebasetest.AMD64, Base: 0x340000000, Flags: fileStripped}},
			want:   "/a move 0x3fffe0000\n/b left stripped\n",
		},
		"two that can not move": {
			images: map[string]rebasetest.Options{"/a": {Machine: rebasetest.AMD64, Base: 0x340000000, Flags: fileStripped}, "/b": {Machine: rebasetest.AMD64, Base: 0x340000000, Signature: []byte("8 bytes!")}},
			want:   "/a left stripped\n/b fail signed with /a\n",
		},
		"a signature dropped when asked": {
			images: map[string]rebasetest.Options{"/a": {Machine: rebasetest.AMD64, Base: 0x500000000, Signature: []byte("8 bytes!")}},
			policy: Policy{DropSignature: true},
			want:   "/a move 0x3fffe0000\n",
		},
		"no room": {
			images: map[string]rebasetest.Options{"/a": dll(defaultBase64, 1), "/b": dll(defaultBase64, 1), "/c": dll(defaultBase64, 1)},
			policy: Policy{Room: map[Machine]Range{AMD64: {0x300000000, 0x300030000}}},
			want:   "/a move 0x300010000\n/b move 0x300000000\n/c fail\n",
		},
		"from above 4 GiB it stays above": {
			images: map[string]rebasetest.Options{"/a": dll(defaultBase64, 1), "/b": dll(0x60000000, 1)},
			policy: Policy{Room: map[Machine]Range{AMD64: {0x50000000, 0x100010000}}},
			want:   "/a move 0x100000000\n/b keep\n",
		},
		"the C library stays, and has its zone": {
			images: map[string]rebasetest.Options{"/bin/cygwin1.dll": dll(0x300000000, 1), "/a": dll(0x300010000, 1), "/b": dll(0x300090000, 1), "/c": dll(0x2fffc0000, 1)},
			want:   "/a move 0x3fffe0000\n/b keep\n/bin/cygwin1.dll left runtime\n/c move 0x3fffc0000\n",
		},
		"firmware and programs need no place": {
			images: map[string]rebasetest.Options{"/a": {Machine: rebasetest.AMD64, Subsystem: 10}, "/b": {Machine: rebasetest.AMD64, Subsystem: 10}},
			want:   "/a left efi\n/b left efi\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.write(tt.images)
			names := slices.Collect(maps.Keys(tt.images))
			plan := b.apply(tt.policy, names...)
			if got := told(plan); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			b.check()
			for _, again := range b.plan(tt.policy, names...).Placements {
				if again.Action == Move {
					t.Errorf("the second run moves %s to %#x", again.Name, again.To)
				}
			}
		})
	}
}

// TestApplyAndUndo looks at the files themselves.
func TestApplyAndUndo(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{
		"/usr/bin/a.dll":   {Machine: rebasetest.AMD64, Base: defaultBase64, Pages: 4},
		"/usr/bin/b.dll":   {Machine: rebasetest.AMD64, Base: defaultBase64, Signature: []byte("8 bytes!")},
		"/usr/lib/c.so":    {Machine: rebasetest.I386, Base: 0x10000000, Seed: 1},
		"/usr/lib/d.so":    {Machine: rebasetest.I386, Base: 0x10000000, Seed: 2, NoSum: true},
		"/usr/lib/keep.so": {Machine: rebasetest.ARM64, Base: 0x300000000},
	})
	names := slices.Collect(maps.Keys(before))
	old, err := os.Open(filepath.Join(b.dir, "/usr/lib/d.so"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	done := 0
	plan := b.apply(Policy{DropSignature: true, Progress: func(n int) { done = n }}, names...)
	if done != len(names) {
		t.Errorf("progress ended at %d", done)
	}
	if plan.Failed() > 0 || plan.Moves() != 3 {
		t.Errorf("plan:\n%s", told(plan))
	}
	for _, pl := range plan.Placements {
		if pl.Action == Move && !strings.HasSuffix(pl.Name, "b.dll") {
			checkMoved(t, before[pl.Name], b.read(pl.Name), pl.To)
		}
	}
	b.check()
	b.db = b.reopened()
	b.check()
	checkOpen(t, old, before["/usr/lib/d.so"])

	b.undoAll(names)
	for name, content := range before {
		if !bytes.Equal(b.read(name), content) {
			t.Errorf("%s: not restored", name)
		}
	}
	for _, r := range b.reopened().Records() {
		if r.Was != nil {
			t.Errorf("%s is still recorded as moved", r.Name)
		}
	}
	checkNoLitter(t, b.dir)
}

func (b *bed) reopened() *Database {
	b.Helper()
	db, err := Open(b.db.Path)
	if err != nil {
		b.Fatal(err)
	}
	return db
}

func (b *bed) undoAll(names []string) {
	b.Helper()
	var files []File
	for _, name := range names {
		files = append(files, File{name, name[1:]})
	}
	placements, err := Undo(context.Background(), b.root, files, b.db)
	if err != nil {
		b.Fatal(err)
	}
	for _, pl := range placements {
		if pl.Action == Fail {
			b.Errorf("undo %s: %s", pl.Name, pl.Reason)
		}
	}
}

// checkOpen makes sure that who has the old file open still reads the old bytes.
func checkOpen(t *testing.T, f *os.File, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the open file changed: %v", err)
	}
}

func checkNoLitter(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), ".rebase-") {
			t.Errorf("%s was left", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestUpdate is the life of one image: installed, updated in a staging
// directory, grown within its slack and beyond it.
func TestUpdate(t *testing.T) {
	b := newBed(t)
	update := func(pages int, seed byte) Placement {
		t.Helper()
		b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: defaultBase64, Pages: pages, Seed: seed}})
		plan := b.apply(Policy{}, "/a.dll")
		b.check()
		return plan.Placements[0]
	}
	b.write(map[string]rebasetest.Options{"/b.dll": {Machine: rebasetest.AMD64, Base: 0x3fffc0000}})
	b.apply(Policy{}, "/b.dll") // takes 0x3fffc0000 and a slot of slack
	first := update(1, 0)
	if first.To != 0x3fffe0000 || first.Reserved != 2*Granularity {
		t.Errorf("first placed at %#x with %#x bytes", first.To, first.Reserved)
	}
	if pl := update(2, 1); pl.To != first.To {
		t.Errorf("an update of the same slots moved to %#x", pl.To)
	}
	if pl := update(25, 2); pl.To != first.To || pl.Reserved != 2*Granularity {
		t.Errorf("an update that fits the slack moved to %#x", pl.To)
	}
	grown := update(40, 3)
	if grown.To != 0x3fff80000 {
		t.Errorf("an update that does not fit is at %#x", grown.To)
	}
	if pl := update(1, 4); pl.To != grown.To || pl.Reserved != grown.Reserved {
		t.Errorf("a smaller update went to %#x, with %#x bytes", pl.To, pl.Reserved)
	}
}

// TestInstalledFixed has two recorded images overlap, one of which can not move.
func TestInstalledFixed(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{
		"/a.dll": {Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 9},
		"/b.dll": {Machine: rebasetest.AMD64, Base: 0x340000000, Flags: fileStripped},
	})
	b.apply(Policy{Stay: true, Force: true}, "/a.dll", "/b.dll")
	if got := told(b.apply(Policy{}, "/a.dll", "/b.dll")); got != "/a.dll move 0x3fffe0000\n/b.dll left stripped\n" {
		t.Errorf("got\n%s", got)
	}
	b.check()
}

// TestSlack keeps free what is behind an image only if nobody is there.
func TestSlack(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{
		"/a.dll": {Machine: rebasetest.AMD64, Base: 0x340000000},
		"/b.dll": {Machine: rebasetest.AMD64, Base: 0x340010000},
	})
	b.apply(Policy{}, "/a.dll", "/b.dll")
	if a, b := b.db.Find("/a.dll").Reserved, b.db.Find("/b.dll").Reserved; a != Granularity || b != 2*Granularity {
		t.Errorf("reserved %#x and %#x", a, b)
	}
}

func TestMounts(t *testing.T) {
	r := &Root{Mounts: CygwinMounts}
	for name, path := range map[string]string{
		"/usr/bin/a.dll": "bin/a.dll", "/usr/lib/p/a.dll": "lib/p/a.dll", "/usr/binx/a.dll": "usr/binx/a.dll", "/opt/a.dll": "opt/a.dll",
	} {
		f, err := r.FileOf(name)
		if err != nil || f.Path != path || r.FileAt(path) != f {
			t.Errorf("%s lies at %s and back at %s: %v", name, f.Path, r.FileAt(path).Name, err)
		}
	}
	if m, err := ParseMount("/usr/bin=/bin"); err != nil || m != CygwinMounts[0] {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestOrder plans the same files in many orders.
func TestOrder(t *testing.T) {
	b := newBed(t)
	images := make(map[string]rebasetest.Options)
	for i := range 30 {
		images[fmt.Sprintf("/%d.dll", i)] = rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x300000000 + uint64(i%7)<<16, Pages: 1 + i%20}
	}
	b.write(images)
	names := slices.Sorted(maps.Keys(images))
	want := told(b.plan(Policy{}, names...))
	for range 10 {
		names = slices.Collect(maps.Keys(images))
		if got := told(b.plan(Policy{}, names...)); got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
	}
}

// TestStackedLayers is a child database above a parent that changes later.
func TestStackedLayers(t *testing.T) {
	b := newBed(t)
	parent := NewDatabase(filepath.Join(b.dir, "parent"))
	parent.Put(Record{Name: "/base/p.dll", Machine: AMD64, Base: 0x340000000, Size: 0x9000, Reserved: 0x20000})
	b.write(map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: 0x340000000}, "/b.dll": {Machine: rebasetest.AMD64, Base: 0x350000000}})
	plan := b.apply(Policy{Respect: []*Database{parent}}, "/a.dll", "/b.dll")
	if got := told(plan); got != "/a.dll move 0x3fffe0000\n/b.dll keep\n" {
		t.Errorf("got\n%s", got)
	}
	b.check(parent)

	parent.Put(Record{Name: "/base/q.dll", Machine: AMD64, Base: 0x350000000, Size: 0x9000, Reserved: 0x20000})
	findings, err := Check(context.Background(), b.root, b.db, []*Database{parent})
	if err != nil || len(findings) != 1 || findings[0].Problem != Collides || findings[0].With[0] != "/base/q.dll" {
		t.Errorf("findings %v, %v", findings, err)
	}
	plan = b.apply(Policy{Respect: []*Database{parent}}, "/a.dll", "/b.dll")
	if got := told(plan); got != "/a.dll keep\n/b.dll move 0x3fffc0000\n" {
		t.Errorf("got\n%s", got)
	}
	b.check(parent)
	if _, err := os.Stat(parent.Path); err == nil {
		t.Error("the parent was written")
	}
	b.write(map[string]rebasetest.Options{"/base/p.dll": {Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 5}})
	if got := told(b.apply(Policy{Respect: []*Database{parent}}, "/base/p.dll")); got != "/base/p.dll skip\n" {
		t.Errorf("what belongs to the parent yields\n%s", got)
	}
}

// TestSecondRun finds that of two images which can not move, at a base where none
// is to stay, the one that was first still is.
func TestSecondRun(t *testing.T) {
	b := newBed(t)
	names := []string{"/a.dll", "/b.dll"}
	for _, name := range names {
		file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000})
		le.PutUint16(file[rebasetest.Data+page+8:], 7<<12)
		b.writeFile(name, file)
	}
	policy := Policy{Room: map[Machine]Range{AMD64: {0x500000000, 0x600000000}}}
	const want = "/a.dll left fixups\n/b.dll fail fixups with /a.dll\n"
	for range 2 {
		if got := told(b.apply(policy, names...)); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		b.db = b.reopened()
	}
}

// TestClearDynamic takes the flags from an image that stays and from one that
// moves, once, and gives them back. A later run keeps what was before the first.
func TestClearDynamic(t *testing.T) {
	b := newBed(t)
	before := b.write(map[string]rebasetest.Options{
		"/a.dll": {Machine: rebasetest.AMD64, Base: 0x300000000, Pages: 2, DLLFlags: 0x160},
		"/b.dll": {Machine: rebasetest.AMD64, Base: 0x300000000, DLLFlags: 0x140},
		"/c.dll": {Machine: rebasetest.AMD64, Base: 0x300000000, DLLFlags: 0x100, NoSum: true},
		"/d.dll": {Machine: rebasetest.AMD64, Base: 0x340000000, DLLFlags: 0x40, Signature: []byte("signed..")},
		"/e.dll": {Machine: rebasetest.ARM64, Base: 0x300000000, DLLFlags: 0x60},
	})
	names := []string{"/a.dll", "/b.dll", "/c.dll", "/d.dll", "/e.dll"}
	b.apply(Policy{}, names...)
	if h, err := readBytes(b.read("/b.dll")); err != nil || h.dllFlags != 0x140 {
		t.Fatalf("not asked to clear: flags %#x, %v", h.dllFlags, err)
	}
	b.undoAll(names[1:3])
	b.apply(Policy{}, "/b.dll")

	plan := b.apply(Policy{ClearDynamic: true}, names...)
	if got := told(plan); got != "/a.dll move 0x300000000\n/b.dll move 0x3fffe0000\n/c.dll move 0x3fffc0000\n/d.dll left signed\n/e.dll move 0x300000000\n" {
		t.Errorf("got\n%s", got)
	}
	for name, want := range map[string]uint16{"/a.dll": 0x100, "/b.dll": 0x100, "/c.dll": 0x100, "/e.dll": 0x40} {
		if h, err := readBytes(b.read(name)); err != nil || h.dllFlags != want {
			t.Errorf("%s: flags %#x, %v", name, h.dllFlags, err)
		}
	}
	b.check()
	b.db = b.reopened()
	if again := b.apply(Policy{ClearDynamic: true}, names...); again.Moves() != 0 {
		t.Errorf("a second run:\n%s", told(again))
	}
	b.undoAll(names)
	for _, name := range names {
		if !bytes.Equal(before[name], b.read(name)) {
			t.Errorf("%s: not restored", name)
		}
	}
}

// TestKeepOutAll: what is kept free up to the last address is kept free.
func TestKeepOutAll(t *testing.T) {
	const low = 1 << 40
	p := Policy{Target: TargetWindows, KeepOut: []Range{{low, 1<<64 - 1}}}
	out := p.place(AMD64).KeepOut
	if got := out[len(out)-1]; got.Low != low || got.High < 1<<47 {
		t.Errorf("%v", got)
	}
}
