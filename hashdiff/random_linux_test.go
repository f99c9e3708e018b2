package hashdiff

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A lot draws what a verb does, and where.
type lot struct {
	*rand.Rand
	root string
}

// words are few, so that things meet.
var words = []string{"a", "b", "c", "a b", "x\ny", "\xff\\"}

func (l *lot) path() string {
	p := l.root
	for range 1 + l.IntN(3) {
		p += "/" + words[min(l.IntN(len(words)), l.IntN(len(words)))]
	}
	return p
}

func (l *lot) bytes() []byte {
	return []byte([]string{"", "1", "2", "11", "12", "a longer one"}[l.IntN(6)])
}

func (l *lot) mode() uint32 { return []uint32{0o644, 0o755, 0o4711, 0o2750}[l.IntN(4)] }

// verbs are what installers do, and some of what they should not.
var verbs = []func(l *lot) error{
	func(l *lot) error { return write(l.path(), l.bytes(), 0o644) },
	func(l *lot) error { return write(l.path(), l.bytes(), 0o600) },
	func(l *lot) error { // another content of the same time and perhaps the same size
		path := l.path()
		st, err := os.Lstat(path)
		if err != nil || !st.Mode().IsRegular() {
			return err
		}
		return errors.Join(write(path, l.bytes(), 0), os.Chtimes(path, time.Time{}, st.ModTime()))
	},
	func(l *lot) error { return os.Truncate(l.path(), int64(l.IntN(3))) },
	func(l *lot) error { return os.Rename(l.path(), l.path()) },
	func(l *lot) error { return os.Rename(l.path(), l.path()) },
	func(l *lot) error {
		return unix.Renameat2(unix.AT_FDCWD, l.path(), unix.AT_FDCWD, l.path(), unix.RENAME_EXCHANGE)
	},
	func(l *lot) error { return os.Link(l.path(), l.path()) },
	func(l *lot) error { return os.Link(l.path(), l.path()) },
	func(l *lot) error { return os.Symlink([]string{"a", "a/b", "gone"}[l.IntN(3)], l.path()) },
	func(l *lot) error { return unix.Unlink(l.path()) },
	func(l *lot) error { return removeAll(l.path()) },
	func(l *lot) error { return os.Mkdir(l.path(), 0o755) },
	func(l *lot) error { return os.Mkdir(l.path(), 0o755) },
	func(l *lot) error {
		path := l.path()
		return errors.Join(removeAll(path), os.Mkdir(path, 0o755))
	},
	func(l *lot) error { return unix.Chmod(l.path(), l.mode()) },
	func(l *lot) error { return os.Lchown(l.path(), l.IntN(2), l.IntN(2)) },
	func(l *lot) error {
		name := []string{"user.a", "user.=b", "trusted.c", "security.d"}[l.IntN(4)]
		return unix.Lsetxattr(l.path(), name, l.bytes(), 0)
	},
	func(l *lot) error { return unix.Lremovexattr(l.path(), "user.a") },
	func(l *lot) error { return unix.Mkfifo(l.path(), 0o644) },
	func(l *lot) error {
		return unix.Mknod(l.path(), unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(3+l.IntN(2)))))
	},
	func(l *lot) error { return unix.Mknod(l.path(), unix.S_IFSOCK|0o600, 0) },
	func(l *lot) error {
		ts := unix.NsecToTimespec(1_100_000_000e9 + int64(l.IntN(3))*1e9 + 5)
		return unix.UtimesNanoAt(unix.AT_FDCWD, l.path(), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	},
}

// write writes a file; it does not wait for a reader of a fifo.
func write(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// removeAll is os.RemoveAll, which opens what is above, be it a fifo.
func removeAll(path string) error {
	if st, err := os.Lstat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return err
	}
	return os.RemoveAll(path)
}

// perform applies n verbs drawn by lot below root. Most can not be done and are
// not: that is their error, not the test's.
func perform(root string, seed uint64, n int) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		_ = verbs[r.IntN(len(verbs))](&lot{r, root})
	}
}

// forest makes n directories below root, each with what some verbs leave in it.
func forest(t testing.TB, root string, n uint64) {
	t.Helper()
	for seed := range n {
		plot := filepath.Join(root, fmt.Sprint(seed))
		if err := os.Mkdir(plot, 0o755); err != nil {
			t.Fatal(err)
		}
		perform(plot, ^seed, 40)
	}
}

// disturb applies verbs to every directory of a forest.
func disturb(root string, n uint64, seed uint64) {
	for plot := range n {
		perform(filepath.Join(root, fmt.Sprint(plot)), seed+plot, 12)
	}
}

// TestRandom compares lists of random changes with the difference that outside
// tools see.
func TestRandom(t *testing.T) {
	need.Root(t)
	const plots = 60
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			root := t.TempDir()
			forest(t, root, plots)
			j := &capturetest.Judge{Before: capturetest.Take(t, root)}
			before := scanAll(t, root)
			disturb(root, plots, seed*plots)
			j.After = capturetest.Take(t, root)
			l, err := Diff(&slice{before}, &slice{scanWith(t, root, &slice{before})})
			if err != nil {
				t.Fatal(err)
			}
			j.Check(t, l, openTree(t, root))
		})
	}
}

// Two trees made alike have no difference, though their stamps have.
func TestTwoTrees(t *testing.T) {
	need.Root(t)
	one, two := t.TempDir(), t.TempDir()
	forest(t, one, 20)
	forest(t, two, 20)
	age(t, one) // the times at which they were made differ
	age(t, two)
	l, err := Diff(&slice{scanAll(t, one)}, &slice{scanAll(t, two)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Entries {
		t.Errorf("%+v", e)
	}
	for _, n := range l.Notes {
		t.Errorf("%+v", n)
	}
}

// age gives everything in a tree a time before the test.
func age(t testing.TB, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		ts := unix.NsecToTimespec(1e18)
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func openTree(t testing.TB, root string) plist.DirTree {
	t.Helper()
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return plist.DirTree{Root: r}
}
