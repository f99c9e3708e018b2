package trace

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// stressVariable tells the test's program to be the command: number of operations
// of each writer.
const stressVariable = "TRACETEST_STRESS"

const writers = 8

// stressMain has writers change what is in the working directory, each a directory
// of its own, in the same way each time, while a timer interrupts them.
func stressMain(text string) {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	signal.Notify(make(chan os.Signal, 1), unix.SIGALRM)
	if _, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Interval: unix.Timeval{Usec: 50}, Value: unix.Timeval{Usec: 50}}); err != nil {
		panic(err)
	}
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			runtime.LockOSThread()
			random := rand.New(rand.NewPCG(uint64(w), 0))
			for range n {
				stressOnce(random, fmt.Sprintf("w%d", w))
			}
		})
	}
	wait.Wait()
	os.Exit(0)
}

// stressOnce does one operation, or finds that it can not be done.
func stressOnce(random *rand.Rand, dir string) {
	name := func() string {
		p := dir
		for range 1 + random.IntN(3) {
			p += "/" + string(rune('a'+random.IntN(5)))
		}
		return p
	}
	from, to := name(), name()
	var err error
	switch random.IntN(12) {
	case 0, 1:
		err = os.Mkdir(from, 0o755)
	case 2, 3, 4:
		err = os.WriteFile(from, []byte(to), 0o644)
	case 5:
		err = os.Rename(from, to)
	case 6:
		err = os.Remove(from)
	case 7:
		err = os.Link(from, to)
	case 8:
		err = os.Symlink("a", from)
	case 9:
		err = os.Chmod(from, 0o600)
	case 10:
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	case 11:
		err = os.Truncate(from, 3)
	}
	_ = err // whatever it is, it is the same each time
}

// TestStress captures many writers at once, interrupted all the time, and compares
// with the same without us.
func TestStress(t *testing.T) {
	need.Root(t)
	for _, n := range []int{50, 500} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			dirs := [2]string{t.TempDir(), t.TempDir()}
			for _, dir := range dirs {
				for w := range writers {
					if err := os.Mkdir(fmt.Sprintf("%s/w%d", dir, w), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				stress(t, dir, 100, nil)
				if err := filepath.WalkDir(dir, age); err != nil {
					t.Fatal(err)
				}
			}
			j := capturetest.Judge{Before: capturetest.Take(t, dirs[0]), Since: time.Now().Add(-time.Minute)}
			stress(t, dirs[0], n, nil)
			j.After = capturetest.Take(t, dirs[0])
			before := take(t, dirs[1])
			stress(t, dirs[1], n, func(r *capture.Result) {
				j.Check(t, cut(r.List, dirs[1][1:]), subtree{r.Tree, dirs[1][1:]})
			})
			same(t, take(t, dirs[1]), before)
		})
	}
}

// stress runs the writers in a directory, captured if somebody wants the result.
func stress(t *testing.T, dir string, n int, check func(*capture.Result)) {
	t.Helper()
	env := append(os.Environ(), stressVariable+"="+strconv.Itoa(n))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if check == nil {
		p, err := os.StartProcess(self, []string{self}, &os.ProcAttr{Dir: dir, Env: env, Files: []*os.File{nil, os.Stderr, os.Stderr}})
		if err != nil {
			t.Fatal(err)
		}
		if state, err := p.Wait(); err != nil || !state.Success() {
			t.Fatal(state, err)
		}
		return
	}
	r, err := (&Method{}).Run(t.Context(), capture.Command{Args: []string{self}, Env: env, Dir: dir, Stdout: os.Stderr, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	check(r)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// age gives all that is there an old time, so that what is written later differs.
func age(path string, _ os.DirEntry, err error) error {
	if err != nil {
		return err
	}
	old := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, old, unix.AT_SYMLINK_NOFOLLOW)
}

// cut cuts a list down to a directory.
func cut(l *plist.List, dir string) *plist.List {
	out := &plist.List{}
	for _, e := range l.Entries {
		if !plist.Within(e.Path, dir) || e.Path == dir {
			continue
		}
		e.Path = e.Path[len(dir)+1:]
		if e.IsHardlink() {
			e.Link = e.Link[len(dir)+1:]
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

type subtree struct {
	plist.Tree
	dir string
}

func (s subtree) Open(path string) (plist.File, error) { return s.Tree.Open(s.dir + "/" + path) }
