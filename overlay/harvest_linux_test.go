package overlay

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/plist"
)

// The overlays of these tests are never attached: they are reached through their
// descriptors, and gone with them.

// union is an overlay for a test, with a directory to write to.
type union struct {
	layer
	upperDir, mergedDir string
}

// runOptions are the options of a run.
const runOptions = "index=on,redirect_dir=on,metacopy=off,volatile"

// newUnion makes an overlay over lower, its upper and work directories below dir.
func newUnion(t testing.TB, lower, dir, options string) *union {
	t.Helper()
	need.Root(t)
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u := &union{upperDir: upper}
	u.path, u.userxattr = ".", strings.Contains(options, "userxattr")
	u.upper = open(t, upper)
	u.lower = clone(t, lower)
	u.merged = mountUnion(t, lower, upper, work, options)
	u.mergedDir = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), u.merged.Fd())
	return u
}

func mountUnion(t testing.TB, lower, upper, work, options string) *os.File {
	t.Helper()
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		need.Lacks(t, "overlay", err)
	}
	defer unix.Close(fs)
	settings := "lowerdir+=" + lower + ",upperdir=" + upper + ",workdir=" + work + "," + options
	for setting := range strings.SplitSeq(settings, ",") {
		key, value, ok := strings.Cut(setting, "=")
		if ok {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			t.Fatalf("%s: %v", setting, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatalf("create overlay: %v", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return descriptor(t, mount, "merged")
}

// newTmpfs returns the path of a tmpfs.
func newTmpfs(t testing.TB) string {
	t.Helper()
	need.Root(t)
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := descriptor(t, mount, "tmpfs")
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

func clone(t testing.TB, dir string) *os.File {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return descriptor(t, fd, dir)
}

func open(t testing.TB, dir string) *os.File {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return descriptor(t, fd, dir)
}

func descriptor(t testing.TB, fd int, name string) *os.File {
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

// check harvests a union and has the result judged. Nothing may be called
// identical that was not written.
func (u *union) check(t *testing.T, j *capturetest.Judge) {
	t.Helper()
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	j.Check(t, list, tree)
	for _, e := range list.Entries {
		if _, err := os.Lstat(u.upperDir + "/" + e.Path); e.Class == plist.ClassIdentical && err != nil {
			t.Errorf("identical: %v", err)
		}
	}
}

// forestOf is the forest of a round.
func forestOf(round uint64) capturetest.Forest {
	return capturetest.Forest{First: round * 40, Plots: 40}
}

// TestRandomVerbs applies the same verbs to overlays and to plain copies of their
// lower directories. The list must be the difference that outside tools see
// between a plain copy before and after.
func TestRandomVerbs(t *testing.T) {
	need.Root(t)
	for round := range rounds() {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			forest := forestOf(round)
			lower, native := t.TempDir(), t.TempDir()
			forest.Plant(t, lower)
			forest.Plant(t, native)
			u := newUnion(t, lower, t.TempDir(), runOptions)
			j := &capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now().Add(-time.Minute)}
			got, want := forest.Disturb(u.mergedDir), forest.Disturb(native)
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s; natively %s", got[i], want[i])
				}
			}
			j.After = capturetest.Take(t, native)
			u.check(t, j)
		})
	}
}

// TestRandomVerbsOtherwise does the same with overlays that are not quite like a
// plain directory, or whose layers are on different file systems: so the list
// must be the difference that outside tools see between lower and merged.
func TestRandomVerbsOtherwise(t *testing.T) {
	for _, c := range []struct {
		name, options string
		lower, upper  func(testing.TB) string
	}{
		{"no index", "index=off,redirect_dir=on", testing.TB.TempDir, testing.TB.TempDir},
		{"no redirect", "index=on,redirect_dir=off", testing.TB.TempDir, testing.TB.TempDir},
		{"metacopy", "index=on,redirect_dir=on,metacopy=on", testing.TB.TempDir, testing.TB.TempDir},
		{"userxattr", "userxattr", testing.TB.TempDir, testing.TB.TempDir},
		{"upper on tmpfs", runOptions, testing.TB.TempDir, newTmpfs},
		{"upper on tmpfs without xino", runOptions + ",xino=off", testing.TB.TempDir, newTmpfs},
		{"lower on tmpfs", runOptions, newTmpfs, testing.TB.TempDir},
		{"both on one tmpfs", runOptions, newTmpfs, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for round := range rounds() {
				forest := forestOf(round)
				lower := c.lower(t) + "/lower"
				upper := filepath.Dir(lower)
				if c.upper != nil {
					upper = c.upper(t)
				}
				forest.Plant(t, lower)
				u := newUnion(t, lower, upper, c.options)
				j := &capturetest.Judge{Before: capturetest.Take(t, lower)}
				forest.Disturb(u.mergedDir)
				j.After = capturetest.Take(t, u.mergedDir)
				u.check(t, j)
			}
		})
	}
}

// rounds is how often to repeat what is drawn by lot: a little always, or as often
// as the environment says.
func rounds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("HARVEST_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return 5
}

// shell runs a script in a directory that is made if need be.
func shell(t testing.TB, dir, script string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
