package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestUnpackedRoot: what a killed run unpacked goes with the next one or with recover,
// what one that is alive has stays; and the directory above gets its time back.
func TestUnpackedRoot(t *testing.T) {
	dir, staging := t.TempDir(), t.TempDir()
	archive := filepath.Join(dir, "root.tar")
	make := exec.Command("sh", "-euc", `cd "$1"; mkdir -p tree/closed; echo x >tree/closed/f; chmod 555 tree/closed tree
		tar -C tree -cf root.tar .; chmod 755 tree tree/closed`, "sh", dir)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.Stat(staging)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *rootFS {
		t.Helper()
		r, err := openRoot(t.Context(), archive, staging)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	there := func(r *rootFS, want bool) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(r.dir, "closed/f"))
		if (err == nil && string(text) == "x\n") != want {
			t.Errorf("%s is there: %q, %v", r.dir, text, err)
		}
	}
	kill := func(r *rootFS) {
		if err := r.scratch.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first := open()
	there(first, true)
	if err := first.remove(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(staging); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%v, %v", after.ModTime(), err)
	}
	alive, dead := open(), open()
	kill(dead)
	next := open()
	there(dead, false)
	kill(next)
	if err := sweepRoots(staging); err != nil {
		t.Fatal(err)
	}
	there(next, false)
	there(alive, true)
	if err := alive.remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(staging); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
