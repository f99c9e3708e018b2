//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// TestUmask: what is written is as private as the user wants it.
func TestUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	name := filepath.Join(t.TempDir(), "f")
	if err := writeFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode() != 0o640 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestReadBothLink: what was a symlink to a place that is the system's own, or none,
// was no file.
func TestReadBothLink(t *testing.T) {
	var roots [2]*os.Root
	for i := range roots {
		var err error
		if roots[i], err = os.OpenRoot(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		defer roots[i].Close()
	}
	if err := roots[0].Symlink("/elsewhere", "f"); err != nil {
		t.Fatal(err)
	}
	if err := roots[1].WriteFile("f", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, after, err := readBoth(&capture.Result{Tree: plist.DirTree{Root: roots[1]}}, roots[0], "f")
	if err != nil || before != "" || after != "new" {
		t.Errorf("%q, %q, %v", before, after, err)
	}
}
