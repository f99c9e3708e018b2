package trace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestResolve compares where both ways of resolving lead with what the kernel says
// (openat2(2), RESOLVE_IN_ROOT): in a root that is the tracee's own, component by
// component, and in ours by the kernel's help. The trees are of random directories,
// files and symlinks, relative, absolute, up and in circles.
func TestResolve(t *testing.T) {
	need.Root(t)
	random := rand.New(rand.NewPCG(1, 2))
	r, err := newResolver()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for range 20 {
		top := t.TempDir()
		randomTree(t, random, top)
		root, err := openPath(unix.AT_FDCWD, top, unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			name := randomPath(random)
			apart := &view{tid: uint32(os.Getpid()), root: root, apart: true, resolv: r}
			found += compareResolved(t, top, name, apart, root, unix.RESOLVE_IN_ROOT)
			// Below ours, absolute links would lead out of the tree.
			same := &view{tid: uint32(os.Getpid()), root: r.root, resolv: r}
			compareResolved(t, top, strings.TrimLeft(name, "/"), same, root, 0)
		}
		unix.Close(root)
	}
	if found < 500 {
		t.Errorf("only %d paths led anywhere", found)
	}
}

// FuzzResolve compares paths and targets of symlinks that nobody thought of.
func FuzzResolve(f *testing.F) {
	for i, s := range []string{"a/../b/./c", "/../a//b/", "l/x/..", "./l", "a/b/c/d/../../../..", "\xff/\n", "...", strings.Repeat("a/", 2000), strings.Repeat("n", 256)} {
		f.Add(uint64(i), s, s)
	}
	r, err := newResolver()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, seed uint64, name, target string) {
		if strings.Contains(name+target, "\x00") || len(name) >= unix.PathMax {
			return
		}
		top := t.TempDir()
		randomTree(t, rand.New(rand.NewPCG(seed, 0)), top)
		_ = os.Symlink(target, top+"/l") // unless it is no target, or too long
		root, err := openPath(unix.AT_FDCWD, top, unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(root)
		apart := &view{tid: uint32(os.Getpid()), root: root, apart: true, resolv: r}
		compareResolved(t, top, name, apart, root, unix.RESOLVE_IN_ROOT)
		if strings.HasPrefix(target, "/") {
			return // it would lead out of the tree
		}
		same := &view{tid: uint32(os.Getpid()), root: r.root, resolv: r}
		compareResolved(t, top, strings.TrimLeft(name, "/"), same, root, 0)
	})
}

// compareResolved compares one path, and returns 1 if it leads anywhere.
func compareResolved(t *testing.T, top, name string, v *view, base int, how uint64) int {
	t.Helper()
	if name == "" {
		return 0
	}
	if v.apart {
		compareWays(t, top, name, v, base)
	}
	fd, want := unix.Openat2(base, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: how})
	for want == unix.EAGAIN { // something was renamed or mounted somewhere (openat2(2))
		fd, want = unix.Openat2(base, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: how})
	}
	s, err := v.from(base, name)
	if err == nil {
		s, err = v.follow(s)
	}
	var got key
	if err == nil {
		got, _, err = keyOf(s.dir, s.name)
		s.close()
	}
	if want != nil {
		// A file that a slash follows, in the path or in a link, is found by us: to
		// record what the kernel then refuses does no harm.
		if err == nil && want != unix.ENOTDIR {
			t.Errorf("%s: %q: found, and for the kernel %v", top, name, want)
		} else if err != nil && !errors.Is(err, want) {
			t.Errorf("%s: %q: %v, and for the kernel %v", top, name, err, want)
		}
		return 0
	}
	defer unix.Close(fd)
	k, _, keyErr := keyOf(fd, "")
	if keyErr != nil {
		t.Fatal(keyErr)
	}
	if err != nil || got != k {
		t.Errorf("%s: %q: %+v, %v, and for the kernel %+v", top, name, got, err, k)
	}
	return 1
}

// compareWays compares what the kernel helps to find with what is found component by
// component.
func compareWays(t *testing.T, top, name string, v *view, base int) {
	t.Helper()
	fast, err := v.from(base, name)
	slow, slowErr := v.walk(base, name)
	if err == nil && slowErr == nil {
		a, _, err := keyOf(fast.dir, "")
		b, _, slowErr := keyOf(slow.dir, "")
		if err != nil || slowErr != nil || a != b || fast.name != slow.name {
			t.Errorf("%s: %q: %+v %q, and component by component %+v %q", top, name, a, fast.name, b, slow.name)
		}
	} else if (err == nil) != (slowErr == nil) {
		t.Errorf("%s: %q: %v, and component by component %v", top, name, err, slowErr)
	}
	if err == nil {
		fast.close()
	}
	if slowErr == nil {
		slow.close()
	}
}

var resolveNames = []string{"a", "b", "c", "d"}

func randomTree(t *testing.T, random *rand.Rand, top string) {
	t.Helper()
	dirs := []string{top}
	for i := range 40 {
		dir := dirs[random.IntN(len(dirs))]
		name := dir + "/" + resolveNames[random.IntN(len(resolveNames))]
		var err error
		switch i % 4 {
		case 0, 1:
			if err = os.Mkdir(name, 0o755); err == nil {
				dirs = append(dirs, name)
			}
		case 2:
			err = os.Symlink(randomPath(random), name)
		case 3:
			if _, statErr := os.Lstat(name); statErr != nil {
				err = os.WriteFile(name, nil, 0o644)
			}
		}
		if err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

func randomPath(random *rand.Rand) string {
	var b strings.Builder
	if random.IntN(3) == 0 {
		b.WriteByte('/')
	}
	for i := range 1 + random.IntN(5) {
		if i > 0 {
			b.WriteString(strings.Repeat("/", 1+random.IntN(2)))
		}
		switch n := random.IntN(8); n {
		case 0:
			b.WriteString("..")
		case 1:
			b.WriteString(".")
		default:
			b.WriteString(resolveNames[n%len(resolveNames)])
		}
	}
	if random.IntN(6) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// TestMagicLinks: the links of /proc are the tracee's, not ours.
func TestMagicLinks(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir := t.TempDir()
	f, err := os.Create(dir + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := newResolver()
	if err != nil {
		t.Fatal(err)
	}
	for _, apart := range []bool{false, true} {
		v := &view{tid: uint32(unix.Gettid()), root: r.root, apart: apart, resolv: r}
		for _, name := range []string{fmt.Sprintf("/proc/self/fd/%d", f.Fd()), fmt.Sprintf("/dev/fd/%d", f.Fd()), fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd())} {
			s, err := v.resolve(unix.AT_FDCWD, name)
			if err == nil {
				s, err = v.follow(s)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			full, err := pathOf(s.dir)
			if err != nil || full+"/"+s.name != dir+"/f" {
				t.Errorf("%s: %s/%s, %v", name, full, s.name, err)
			}
			s.close()
		}
	}
}
