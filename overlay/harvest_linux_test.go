package overlay

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
)

// The overlays of these tests are never attached: they are reached through their
// descriptors, and gone with them.

// union is an overlay for a test, with a directory to write to.
type union struct {
	layer
	lowerDir  string
	mergedDir string
}

// The options that the layout uses, and others that must be understood as well.
const layoutOptions = "index=on,redirect_dir=on,metacopy=off,volatile"

// newUnion makes an overlay over lower, its upper and work directories below dir.
func newUnion(t testing.TB, lower, dir, options string) *union {
	t.Helper()
	capturetest.NeedRoot(t)
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u := &union{lowerDir: lower}
	u.path = "."
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
		capturetest.Lacks(t, "overlay", err)
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
	capturetest.NeedRoot(t)
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

// check harvests a union and has the result judged.
func (u *union) check(t *testing.T, j *capturetest.Judge) {
	t.Helper()
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	j.Check(t, list, tree)
}

var old = time.Unix(1_000_000_000, 123456789)

// TestRandomVerbs applies the same verbs to overlays and to plain copies of their
// lower directories. The list must be the difference that outside tools see
// between a plain copy before and after.
func TestRandomVerbs(t *testing.T) {
	const plots, verbs = 40, 12
	for round := range rounds() {
		first := round * plots
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			lower, native := t.TempDir(), t.TempDir()
			forest(t, lower, first, plots)
			forest(t, native, first, plots)
			u := newUnion(t, lower, t.TempDir(), layoutOptions)
			j := &capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now()}
			for seed := first; seed < first+plots; seed++ {
				got := perform(plot(u.mergedDir, seed), seed, verbs)
				want := perform(plot(native, seed), seed, verbs)
				if !slices.Equal(got, want) {
					t.Errorf("plot %d: the verbs did\n%s\nand natively\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
			j.After = capturetest.Take(t, native)
			u.check(t, j)
		})
	}
}

// rounds is how often to repeat what is drawn by lot: a little always, or as often
// as the environment says.
func rounds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("HARVEST_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return 3
}
