package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A verb does one small thing to paths of a tree.
type verb struct {
	name string
	do   func(r *args) error
}

// args are what a verb draws by lot, the same for every tree it is applied to.
type args struct {
	root string
	*rand.Rand
}

// words are the names in the random trees: few, so that things meet.
var words = []string{"a", "b", "c", "a b", "x\ny", ".wh.a", "\xff\\"}

// path draws a path of one to three names.
func (a *args) path() string {
	p := a.root
	for range 1 + a.IntN(3) {
		p += "/" + words[min(a.IntN(len(words)), a.IntN(len(words)))]
	}
	return p
}

// bytes draws a content out of few, often of the same size.
func (a *args) bytes() []byte {
	return []byte([]string{"", "1", "2", "11", "12", "a longer one"}[a.IntN(6)])
}

func (a *args) time() time.Time { return time.Unix(int64(1_100_000_000+a.IntN(3)), 5) }

var verbs = []verb{
	{"create", func(a *args) error { return write(a.path(), os.O_CREATE|os.O_TRUNC, a.bytes()) }},
	{"create", func(a *args) error { return write(a.path(), os.O_CREATE|os.O_EXCL, a.bytes()) }},
	{"append", func(a *args) error { return write(a.path(), os.O_APPEND, a.bytes()) }},
	{"overwrite, with the old time", func(a *args) error {
		path, content := a.path(), a.bytes()
		st, err := os.Lstat(path)
		if err != nil || !st.Mode().IsRegular() {
			return err
		}
		if err := write(path, os.O_TRUNC, content); err != nil {
			return err
		}
		return os.Chtimes(path, time.Time{}, st.ModTime())
	}},
	{"rewrite", func(a *args) error {
		path := a.path()
		content, err := regular(path)
		if err != nil {
			return err
		}
		return write(path, os.O_TRUNC, content)
	}},
	{"replace by a copy", func(a *args) error {
		path := a.path()
		content, err := regular(path)
		if err != nil {
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		return errors.Join(os.Remove(path), write(path, os.O_CREATE, content), os.Chtimes(path, time.Time{}, st.ModTime()),
			os.Lchown(path, int(sys.Uid), int(sys.Gid)), os.Chmod(path, st.Mode()))
	}},
	{"truncate", func(a *args) error { return os.Truncate(a.path(), int64(a.IntN(3))) }},
	{"rename", func(a *args) error { return os.Rename(a.path(), a.path()) }},
	{"rename", func(a *args) error { return os.Rename(a.path(), a.path()) }},
	{"exchange", func(a *args) error {
		return unix.Renameat2(unix.AT_FDCWD, a.path(), unix.AT_FDCWD, a.path(), unix.RENAME_EXCHANGE)
	}},
	{"link", func(a *args) error { return os.Link(a.path(), a.path()) }},
	{"link", func(a *args) error { return os.Link(a.path(), a.path()) }},
	{"ln -f", func(a *args) error {
		from, to := a.path(), a.path()
		tmp := a.root + "/tmp"
		if err := os.Link(from, tmp); err != nil {
			return err
		}
		err := os.Rename(tmp, to)
		os.Remove(tmp) // which is still there if both were one
		return err
	}},
	{"symlink", func(a *args) error { return os.Symlink([]string{"a", "a/b", "gone"}[a.IntN(3)], a.path()) }},
	{"unlink", func(a *args) error { return unix.Unlink(a.path()) }},
	{"rmdir", func(a *args) error { return unix.Rmdir(a.path()) }},
	{"rm -r", func(a *args) error { return removeAll(a.path()) }},
	{"mkdir", func(a *args) error { return os.Mkdir(a.path(), 0o755) }},
	{"mkdir", func(a *args) error { return os.Mkdir(a.path(), 0o755) }},
	{"rm -r, mkdir", func(a *args) error {
		path := a.path()
		return errors.Join(removeAll(path), os.Mkdir(path, 0o755))
	}},
	{"chmod", func(a *args) error { return unix.Chmod(a.path(), []uint32{0o644, 0o755, 0o4711, 0o2750}[a.IntN(4)]) }},
	{"chown", func(a *args) error { return os.Lchown(a.path(), a.IntN(2), a.IntN(2)) }},
	{"setxattr", func(a *args) error {
		name := []string{"user.a", "user.=b", "trusted.c", "security.d"}[a.IntN(4)]
		return unix.Lsetxattr(a.path(), name, a.bytes(), 0)
	}},
	{"removexattr", func(a *args) error { return unix.Lremovexattr(a.path(), "user.a") }},
	{"mkfifo", func(a *args) error { return unix.Mkfifo(a.path(), 0o644) }},
	// The null and the zero device: other verbs will write there.
	{"mknod", func(a *args) error {
		return unix.Mknod(a.path(), unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(3+2*a.IntN(2)))))
	}},
	{"socket", func(a *args) error { return unix.Mknod(a.path(), unix.S_IFSOCK|0o600, 0) }},
	{"utimes", func(a *args) error {
		ts, _ := unix.TimeToTimespec(a.time())
		return unix.UtimesNanoAt(unix.AT_FDCWD, a.path(), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}},
}

// write opens a file to write, which must not block when it is a fifo.
func write(path string, flags int, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// removeAll is os.RemoveAll for where something may be a fifo, which that would
// open if it were to be a directory.
func removeAll(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// regular reads a regular file and nothing else: a fifo would block.
func regular(path string) ([]byte, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, syscall.EINVAL
	}
	return os.ReadFile(path)
}

// perform applies n verbs drawn by lot to a tree, and returns what was done.
func perform(root string, seed uint64, n int) []string {
	var log []string
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		v := verbs[r.IntN(len(verbs))]
		err := v.do(&args{root, rand.New(rand.NewPCG(r.Uint64(), 0))})
		log = append(log, v.name+": "+errorText(err, root))
	}
	return log
}

// errorText leaves the tree's own place out of an error.
func errorText(err error, root string) string {
	if err == nil {
		return "ok"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// age gives everything in a tree a time before the test.
func age(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ts, _ := unix.TimeToTimespec(old)
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forest makes all plots of a test below root, each with what some verbs leave in it.
func forest(t *testing.T, root string, first uint64) {
	t.Helper()
	for seed := first; seed < first+plots; seed++ {
		dir := plot(root, seed)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		perform(dir, ^seed, 40)
	}
	age(t, root)
}

// plot is the directory in a forest for one sequence of verbs.
func plot(root string, seed uint64) string { return fmt.Sprintf("%s/%d", root, seed) }
