package capturetest

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

// A Forest is a tree drawn by lot: Plots directories, each with what some verbs leave
// in it. It is the same wherever it is planted.
type Forest struct {
	First uint64 // number of the first plot; each number has verbs of its own
	Plots uint64
}

// Plant makes the forest below a directory, older than any test.
func (f Forest) Plant(t testing.TB, root string) {
	t.Helper()
	for n := f.First; n < f.First+f.Plots; n++ {
		dir := plot(root, n)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		performByLot(dir, ^n, 40)
	}
	ts, err := unix.TimeToTimespec(old)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Disturb does some verbs in each plot of a planted forest, always the same, and
// returns what each did.
func (f Forest) Disturb(root string) []string {
	var log []string
	for n := f.First; n < f.First+f.Plots; n++ {
		for _, line := range performByLot(plot(root, n), n, 12) {
			log = append(log, fmt.Sprintf("plot %d: %s", n, line))
		}
	}
	return log
}

func plot(root string, n uint64) string { return fmt.Sprintf("%s/%d", root, n) }

// performByLot does n verbs drawn by lot, and returns what was done.
func performByLot(root string, seed uint64, n int) []string {
	var log []string
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		v := lotVerbs[r.IntN(len(lotVerbs))]
		err := v.do(&lot{root, rand.New(rand.NewPCG(r.Uint64(), 0))})
		log = append(log, v.name+": "+errorText(err))
	}
	return log
}

// errorText leaves the tree's own place out of an error.
func errorText(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// A lotVerb does one small thing to paths drawn by lot. Most can not be done, which is
// no error of the test.
type lotVerb struct {
	name string
	do   func(l *lot) error
}

// A lot draws what a verb does it to, the same for every tree.
type lot struct {
	root string
	*rand.Rand
}

// words are the names in the random trees: few, so that things meet.
var words = []string{"a", "b", "c", "a b", "x\ny", ".wh.a", "\xff\\"}

// path draws a path of one to three names.
func (l *lot) path() string {
	p := l.root
	for range 1 + l.IntN(3) {
		p += "/" + words[min(l.IntN(len(words)), l.IntN(len(words)))]
	}
	return p
}

// bytes draws a content out of few, often of the same size.
func (l *lot) bytes() []byte {
	return []byte([]string{"", "1", "2", "11", "12", "a longer one"}[l.IntN(6)])
}

func (l *lot) time() time.Time { return time.Unix(int64(1_100_000_000+l.IntN(3)), 5) }

var lotVerbs = []lotVerb{
	{"create", func(l *lot) error { return writeAt(l.path(), os.O_CREATE|os.O_TRUNC, l.bytes()) }},
	{"create", func(l *lot) error { return writeAt(l.path(), os.O_CREATE|os.O_EXCL, l.bytes()) }},
	{"append", func(l *lot) error { return writeAt(l.path(), os.O_APPEND, l.bytes()) }},
	{"overwrite, with the old time", func(l *lot) error {
		path, content := l.path(), l.bytes()
		st, err := os.Lstat(path)
		if err != nil || !st.Mode().IsRegular() {
			return err
		}
		if err := writeAt(path, os.O_TRUNC, content); err != nil {
			return err
		}
		return os.Chtimes(path, time.Time{}, st.ModTime())
	}},
	{"rewrite", func(l *lot) error {
		path := l.path()
		content, err := regular(path)
		if err != nil {
			return err
		}
		return writeAt(path, os.O_TRUNC, content)
	}},
	{"replace by a copy", func(l *lot) error {
		path := l.path()
		content, err := regular(path)
		if err != nil {
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		return errors.Join(os.Remove(path), writeAt(path, os.O_CREATE, content), os.Chtimes(path, time.Time{}, st.ModTime()),
			os.Lchown(path, int(sys.Uid), int(sys.Gid)), os.Chmod(path, st.Mode()))
	}},
	{"truncate", func(l *lot) error { return os.Truncate(l.path(), int64(l.IntN(3))) }},
	{"rename", func(l *lot) error { return os.Rename(l.path(), l.path()) }},
	{"rename", func(l *lot) error { return os.Rename(l.path(), l.path()) }},
	{"exchange", func(l *lot) error {
		return unix.Renameat2(unix.AT_FDCWD, l.path(), unix.AT_FDCWD, l.path(), unix.RENAME_EXCHANGE)
	}},
	{"link", func(l *lot) error { return os.Link(l.path(), l.path()) }},
	{"link", func(l *lot) error { return os.Link(l.path(), l.path()) }},
	{"ln -f", func(l *lot) error {
		from, to := l.path(), l.path()
		tmp := l.root + "/tmp"
		if err := os.Link(from, tmp); err != nil {
			return err
		}
		err := os.Rename(tmp, to)
		_ = os.Remove(tmp) // which is still there if both were one
		return err
	}},
	{"symlink", func(l *lot) error { return os.Symlink([]string{"a", "a/b", "gone"}[l.IntN(3)], l.path()) }},
	{"unlink", func(l *lot) error { return unix.Unlink(l.path()) }},
	{"rmdir", func(l *lot) error { return unix.Rmdir(l.path()) }},
	{"rm -r", func(l *lot) error { return removeAll(l.path()) }},
	{"mkdir", func(l *lot) error { return os.Mkdir(l.path(), 0o755) }},
	{"mkdir", func(l *lot) error { return os.Mkdir(l.path(), 0o755) }},
	{"rm -r, mkdir", func(l *lot) error {
		path := l.path()
		return errors.Join(removeAll(path), os.Mkdir(path, 0o755))
	}},
	{"chmod", func(l *lot) error { return unix.Chmod(l.path(), []uint32{0o644, 0o755, 0o4711, 0o2750}[l.IntN(4)]) }},
	{"chown", func(l *lot) error { return os.Lchown(l.path(), l.IntN(2), l.IntN(2)) }},
	{"setxattr", func(l *lot) error {
		name := []string{"user.a", "user.=b", "trusted.c", "security.d"}[l.IntN(4)]
		return unix.Lsetxattr(l.path(), name, l.bytes(), 0)
	}},
	{"removexattr", func(l *lot) error { return unix.Lremovexattr(l.path(), "user.a") }},
	{"mkfifo", func(l *lot) error { return unix.Mkfifo(l.path(), 0o644) }},
	// The null and the zero device: other verbs will write there.
	{"mknod", func(l *lot) error {
		return unix.Mknod(l.path(), unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(3+2*l.IntN(2)))))
	}},
	{"socket", func(l *lot) error { return unix.Mknod(l.path(), unix.S_IFSOCK|0o600, 0) }},
	{"utimes", func(l *lot) error {
		ts, _ := unix.TimeToTimespec(l.time())
		return unix.UtimesNanoAt(unix.AT_FDCWD, l.path(), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}},
}

// writeAt opens a file to write, which must not block when it is a fifo.
func writeAt(path string, flags int, content []byte) error {
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
