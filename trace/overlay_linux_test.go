package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// mountOverlay mounts an overlay on directories of which lower is one that was there.
func mountOverlay(t *testing.T, lower string) (merged string) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	merged = filepath.Join(dir, "merged")
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work,xino=off", lower, dir, dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		need.Lacks(t, "overlay", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return merged
}

// A directory on an overlay, as a container's root is one, stays the same when it is
// copied up, although its time of birth does not.
func TestOnOverlay(t *testing.T) {
	lower := t.TempDir()
	if out, err := exec.Command("sh", "-ec", `cd "$1"; mkdir -p d/e moved; for f in old d/old d/e/old moved/old; do echo old >$f; done; ln old d/linked`, "sh", lower).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	merged := mountOverlay(t, lower)
	before := listing(t, merged)
	r, err := (&Method{}).Run(t.Context(), capture.Command{
		Args:    []string{"sh", "-ec", "cd d; echo new >new; echo new >>old; rm e/old; rmdir e; echo new >>linked; mv ../moved there; mkdir e; echo >e/other"},
		Env:     os.Environ(),
		Dir:     merged,
		Staging: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range r.List.Entries {
		got = append(got, fmt.Sprintf("%c %s", " AMD"[e.Op], strings.TrimPrefix("/"+e.Path, merged+"/")))
	}
	want := []string{
		"D d/e/old", "A d/e/other", "M d/linked", "A d/new", "M d/old",
		"A d/there", "A d/there/old", "D moved", "D moved/old",
	}
	if !slices.Equal(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if after := listing(t, merged); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// Where directories do not keep their numbers, what was in one is not taken for the
// run's and removed.
func TestNumberForgotten(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/d", 0o755), os.WriteFile(dir+"/d/old", []byte("old"), 0o644)); err != nil {
		t.Fatal(err)
	}
	j, err := newJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.remove() //nolint:errcheck // tested elsewhere
	began := time.Now().Add(2 * coarsest)
	if err := os.Chtimes(j.path+"/lock", began, began); err != nil {
		t.Fatal(err)
	}
	p := newPast()
	p.meet(&inode{key: key{1, 2, 3}, id: 1, before: plist.Entry{Path: dir[1:] + "/d", Mode: fs.ModeDir | 0o755}})
	if err := rollBack(j, p); !errors.Is(err, errOlder) {
		t.Errorf("rolled back: %v, want %v", err, errOlder)
	}
	if _, err := os.Stat(dir + "/d/old"); err != nil {
		t.Error(err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", `cd "$1"; find . -printf '%p %m %U %G %y %T@\n' -type f -exec sha1sum {} + | sort`, "sh", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
