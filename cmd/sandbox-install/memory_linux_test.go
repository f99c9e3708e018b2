package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/plist"
)

// TestMemory holds the memory of a comparison to what is promised: for a million
// paths 500 MB at most, and nothing for those that were left alone.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("with the race detector programs need twice the memory")
	}
	const paths = 300_000
	dir := t.TempDir()
	none, was, is := filepath.Join(dir, "none"), filepath.Join(dir, "was"), filepath.Join(dir, "is")
	writeSnapshot(t, none, 0, "")
	writeSnapshot(t, was, paths, "old")
	writeSnapshot(t, is, paths, "new")
	base := peak(t, none, none)
	for _, c := range []struct {
		name, before, after string
		entries             int
		want                int64 // bytes at most, for each of the paths that there are
	}{
		{"unchanged", is, is, 0, 50},
		{"added", none, is, paths, 450},
		{"other names", was, is, 2 * paths, 450},
	} {
		got := (peak(t, c.before, c.after) - base) / int64(max(c.entries, paths))
		t.Logf("%s: %d bytes for each path", c.name, got)
		if got > c.want {
			t.Errorf("%s: %d bytes for each path, want at most %d", c.name, got, c.want)
		}
	}
}

// writeSnapshot writes a snapshot of so many files, their paths as long as in /usr.
func writeSnapshot(t *testing.T, name string, paths int, suffix string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := hashdiff.NewWriter(f, hashdiff.Header{Root: "/", Paths: []string{"usr"}})
	for i := range paths {
		r := &hashdiff.Record{Entry: plist.Entry{
			Path: fmt.Sprintf("usr/share/package-%04d/directory-of-it/file-%08d.%s", i/100, i, suffix),
			Mode: 0o644, Size: int64(i), ModTime: time.Unix(1e9, int64(i)),
		}, Hashed: true}
		r.Digest[0] = byte(i)
		r.Stamp = hashdiff.Stamp{Inode: capture.Inode{Dev: 1, Ino: uint64(i) + 1, Nlink: 1}, Size: r.Size, Changed: hashdiff.Time{Sec: 1e9}}
		if err == nil {
			err = w.Write(r)
		}
	}
	if err == nil {
		err = w.Close(hashdiff.Tally{Records: paths})
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// peak returns the most bytes of memory that the program took to compare.
func peak(t *testing.T, before, after string) int64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{"sandbox-install", "diff", before, after}, Stderr: os.Stderr}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}
