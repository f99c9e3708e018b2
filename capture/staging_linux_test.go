package capture

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSweepStaging: what a dead run left goes, what a live one has stays, and so does what
// only has the name.
func TestSweepStaging(t *testing.T) {
	dir := t.TempDir()
	here, err := placeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "staging-"+here.String()+"foreign")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	stage := func() *os.File {
		if err := SweepStaging(dir, "staging-"); err != nil {
			t.Fatal(err)
		}
		locked, _, err := LockedStaging(dir, "staging-")
		if err != nil {
			t.Fatal(err)
		}
		return locked
	}
	alive, dead := stage(), stage()
	if err := os.WriteFile(filepath.Join(dead.Name(), "left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil { // and its lock with it
		t.Fatal(err)
	}
	// One that another run has on the device below a union, and one from before a reboot.
	below := filepath.Join(dir, "staging-"+place{here.boot, here.device + 1}.String()+"x")
	old := filepath.Join(dir, "staging-"+place{"old", here.device + 1}.String()+"x")
	for _, path := range []string{below, old} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	next := stage()
	for path, there := range map[string]bool{alive.Name(): true, dead.Name(): false, next.Name(): true, foreign: true, below: true, old: false} {
		if _, err := os.Lstat(path); (err == nil) != there {
			t.Errorf("%s is there: %v, want %v", path, err == nil, there)
		}
	}
}

// What another user made, or could write to, is not found; and the name of the directory
// is no pattern.
func TestFindStaging(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*")
	if found, err := FindStaging(dir, "staging-"); err != nil || found != nil {
		t.Errorf("found %q, %v where nothing is", found, err)
	}
	for name, mode := range map[string]os.FileMode{"staging-ours": 0o700, "staging-open": 0o755, "other": 0o700} {
		if err := os.MkdirAll(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		theirs := filepath.Join(dir, "staging-theirs")
		if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chown(theirs, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{filepath.Join(dir, "staging-ours")}
	if found, err := FindStaging(dir, "staging-"); err != nil || !slices.Equal(found, want) {
		t.Errorf("found %q, %v, want %q", found, err, want)
	}
}
