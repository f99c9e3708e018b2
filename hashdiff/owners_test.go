package hashdiff

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// skipOnWindows ends a test that could not make a symlink: Windows lets only some
// users do that. Elsewhere it is a failure.
func skipOnWindows(t *testing.T, err error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip(err)
	}
	t.Fatal(err)
}

func TestOwners(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("usr", "bin"), filepath.Join(root, "bin")); err != nil {
		skipOnWindows(t, err)
	}
	made := func(path string, size int64) plist.Entry {
		return plist.Entry{Op: plist.OpAdd, Path: path, Mode: 0o644, Size: size, ModTime: time.Unix(1, 0)}
	}
	owners := NewOwners(root)
	owners.Add("bin/ls", nil)
	owners.AddList(&plist.List{Entries: []plist.Entry{
		made("usr/share/doc/a", 1),
		made("usr/share/doc/b", 1),
		{Op: plist.OpDelete, Path: "usr/share/doc/c"},
	}})
	l := &plist.List{Entries: []plist.Entry{
		{Op: plist.OpAdd, Path: "bin", Mode: os.ModeSymlink | 0o777, Link: "usr/bin", ModTime: time.Unix(1, 0)},
		made("usr/bin/ls", 5),
		made("usr/bin/new", 5),
		{Op: plist.OpAdd, Path: "usr/share", Mode: os.ModeDir, ModTime: time.Unix(1, 0)},
		made("usr/share/doc/a", 1),
		made("usr/share/doc/b", 2),
		made("usr/share/doc/c", 1),
	}}
	owners.Compare(l)
	owners.Classify(l)
	want := []string{"changed ", "noise base", "changed ", "noise base", "noise base", "changed content", "changed "}
	for i, e := range l.Entries {
		got := e.Class.String() + " " + e.Rule + e.Changed.String()
		if got != want[i] {
			t.Errorf("%s: %q, want %q", e.Path, got, want[i])
		}
	}
}
