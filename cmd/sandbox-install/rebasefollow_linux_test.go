package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// program runs the program and returns what it says on standard error.
func (b *rebaseBed) program(want int, line string) string {
	b.Helper()
	out, err := os.Create(b.TempDir() + "/err")
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	status := run(context.Background(), strings.Fields(strings.ReplaceAll(line, "DIR", b.dir)), os.Stdin, out, out)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		b.Fatal(err)
	}
	if status != want {
		b.Fatalf("%s: status %d, want %d\n%s", line, status, want, text)
	}
	return string(text)
}

// recorded returns the names in the bed's database, and checks it.
func (b *rebaseBed) recorded() string {
	b.Helper()
	b.run(0, "check --db DIR/db --root DIR/target")
	var names []string
	for line := range strings.Lines(b.run(0, "info --db DIR/db")) {
		fields := strings.Fields(line)
		names = append(names, fields[len(fields)-1])
	}
	return strings.Join(names, " ")
}

// TestRebaseFollows goes through the life of a package: the database says at each
// step what is there.
func TestRebaseFollows(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/a.dll":        {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2},
		"/b.dll":        {Machine: rebasetest.AMD64, Base: 0x180000000},
		"/target/b.dll": {Machine: rebasetest.AMD64, Base: 0x190000000, Seed: 7},
	})
	const db = " --root DIR/target --rebase-db DIR/db "
	mine := b.read("/target/b.dll")
	b.tarballOf("/one.tar", "a.dll", "b.dll")
	b.tarballOf("/two.tar", "a.dll")

	b.program(3, "unpack"+db+"DIR/one.tar") // b.dll is in the way
	if _, err := os.Stat(b.dir + "/db"); err == nil {
		t.Error("what was refused is recorded")
	}
	b.program(0, "unpack --save"+db+"DIR/one.tar")
	if got := b.recorded(); got != "/a.dll /b.dll" {
		t.Errorf("unpacked: %s", got)
	}
	installed := b.read("/db")
	b.program(0, "unpack --save"+db+"DIR/two.tar") // b.dll is mine again
	if got := b.recorded(); got != "/a.dll /b.dll" || bytes.Equal(installed, b.read("/db")) {
		t.Errorf("another version: %s", got)
	}
	b.program(0, "undo"+db)
	if got := b.recorded(); got != "/a.dll /b.dll" {
		t.Errorf("undone: %s", got)
	}
	b.program(0, "remove"+db+"dlls")
	if got := b.recorded(); got != "/b.dll" || !bytes.Equal(mine, b.read("/target/b.dll")) {
		t.Errorf("removed: %s", got)
	}
	before := b.read("/db")
	b.program(125, "remove"+db+"dlls")
	if !bytes.Equal(before, b.read("/db")) {
		t.Error("a removal that failed changed the database")
	}
}

// TestRebaseFollowTells tells that what comes back collides.
func TestRebaseFollowTells(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/a.dll":        {Machine: rebasetest.AMD64, Base: 0x180000000, Pages: 2},
		"/b.dll":        {Machine: rebasetest.AMD64, Base: 0x190000000},
		"/target/b.dll": {Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 7},
	})
	const db = " --root DIR/target --rebase-db DIR/db "
	b.tarballOf("/one.tar", "a.dll", "b.dll")
	b.tarballOf("/two.tar", "a.dll")
	b.program(0, "unpack --save"+db+"DIR/one.tar")
	if got := b.program(0, "unpack"+db+"DIR/two.tar"); !strings.Contains(got, "rebase: /b.dll overlaps others at 0x180000000-0x180010000: /a.dll\n") {
		t.Errorf("got %s", got)
	}
	b.run(0, "apply --db DIR/db --root DIR/target DIR/target/b.dll")
	b.recorded()
}

// TestRebaseRecover has the records made and the package interrupted.
func TestRebaseRecover(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{"/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000}})
	const db = " --root DIR/target --rebase-db DIR/db "
	b.tarballOf("/one.tar", "a.dll")
	if err := os.Mkdir(b.dir+"/target", 0o755); err != nil {
		t.Fatal(err)
	}
	b.run(0, "register --db DIR/db --root DIR DIR/a.dll") // as for a package that did not come
	b.program(0, "recover --staging DIR"+db)              // not what others left on this machine
	b.program(0, "unpack"+db+"DIR/one.tar")
	if got := b.recorded(); got != "/a.dll" {
		t.Errorf("got %s", got)
	}
}

// TestRebaseMounts records the files of a Cygwin root by the names they have there,
// so that an update finds the base of what it replaces.
func TestRebaseMounts(t *testing.T) {
	b := newRebaseBed(t, map[string]rebasetest.Options{
		"/bin/a.dll": {Machine: rebasetest.AMD64, Base: 0x180000000},
	})
	const flags = " --root DIR/target --rebase-db DIR/db --rebase-mount cygwin "
	if err := os.Mkdir(b.dir+"/target", 0o755); err != nil {
		t.Fatal(err)
	}
	b.tarballOf("/one.tar", "bin/a.dll")
	b.program(0, "unpack --rebase-target cygwin"+flags+"DIR/one.tar")
	const want = "/usr/bin/a.dll"
	b.run(0, "check --db DIR/db --root DIR/target --mount cygwin")
	first := b.run(0, "info --db DIR/db")
	if !strings.Contains(first, want) || !strings.Contains(first, "0x0003fff") {
		t.Errorf("unpacked: %s", first)
	}
	b.write("/bin/a.dll", rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x180000000, Seed: 1}))
	b.tarballOf("/two.tar", "bin/a.dll")
	b.program(0, "unpack --rebase-target cygwin"+flags+"DIR/two.tar")
	if second := b.run(0, "info --db DIR/db"); second != first {
		t.Errorf("an update changed the addresses: %s, was %s", second, first)
	}
	b.program(0, "remove"+flags+"dlls")
	if got := b.run(0, "info --db DIR/db"); strings.Contains(got, want) {
		t.Errorf("removed: %s", got)
	}
}
