package trace

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
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
// of each writer; or to be one writer, of a number and a seed behind colons; or to have
// writers that are killed, as often as the number behind "kill:".
const stressVariable = "TRACETEST_STRESS"

const writers = 8

var (
	operations   = flag.Int("operations", 16000, "operations of the writers together, in their longest run")
	stressRounds = flag.Int("stress-rounds", 1, "how often to repeat the stress")
)

func stressMain(text string) {
	var n, w, kills int
	var seed uint64
	switch {
	case scan(text, "kill:%d", &kills):
		killWriters(kills)
	case scan(text, "%d:%d:%d", &n, &w, &seed):
		interrupt()
		write(n, w, seed)
	case scan(text, "%d:%d", &n, &seed):
		interrupt()
		writeAll(n, seed)
	default:
		panic(text)
	}
	os.Exit(0)
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

// interrupt has a timer interrupt this process all the time.
func interrupt() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGALRM)
	if _, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Interval: unix.Timeval{Usec: 50}, Value: unix.Timeval{Usec: 50}}); err != nil {
		panic(err)
	}
}

// writeAll has writers change what is in the working directory, each a directory of
// its own, in the same way each time.
func writeAll(n int, seed uint64) {
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			runtime.LockOSThread()
			write(n, w, seed)
		})
	}
	wait.Wait()
}

func write(n, w int, seed uint64) {
	random := rand.New(rand.NewPCG(uint64(w), seed))
	for range n {
		stressOnce(random, fmt.Sprintf("w%d", w))
	}
}

// killWriters has processes write where the others write, too, and kills each of them
// sooner or later, and starts it again.
func killWriters(kills int) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for n := range kills / writers {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%d:%d", stressVariable, 1_000_000, w/2, w*1000+n))
				if err := cmd.Start(); err != nil {
					panic(err)
				}
				time.Sleep(time.Duration(20+rand.IntN(100)) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it was killed
			}
		})
	}
	wait.Wait()
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
	for round := range *stressRounds {
		for _, n := range []int{50, *operations / writers} {
			t.Run(fmt.Sprint(round, " ", n), func(t *testing.T) {
				command := fmt.Sprintf("%d:%d", n, round)
				dirs := [2]string{stressDir(t), stressDir(t)}
				j := capturetest.Judge{Before: capturetest.Take(t, dirs[0]), Since: time.Now().Add(-time.Minute)}
				stress(t, dirs[0], command, nil)
				j.After = capturetest.Take(t, dirs[0])
				before := take(t, dirs[1])
				stress(t, dirs[1], command, func(r *capture.Result) {
					j.Check(t, cut(r.List, dirs[1][1:]), subtree{r.Tree, dirs[1][1:]})
				})
				same(t, take(t, dirs[1]), before)
			})
		}
	}
}

// TestStressKilled captures writers that are killed in the middle of their calls. What
// they did is not the same each time: the list is compared with the tree before and
// after, where it is left as they made it; where it is rolled back it is as before.
func TestStressKilled(t *testing.T) {
	need.Root(t)
	for round := range *stressRounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			dir := stressDir(t)
			command := fmt.Sprintf("kill:%d", max(*operations/100, writers))
			before := take(t, dir)
			stress(t, dir, command, func(*capture.Result) {})
			same(t, take(t, dir), before)
			j := capturetest.Judge{Before: capturetest.Take(t, dir)}
			r := captured(t, &Method{NoRollBack: true}, dir, command)
			j.After = capturetest.Take(t, dir)
			j.Check(t, cut(r.List, dir[1:]), subtree{r.Tree, dir[1:]})
			if len(r.List.Entries) < writers {
				t.Errorf("only %d entries", len(r.List.Entries))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// stressDir makes what the writers find.
func stressDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for w := range writers {
		if err := os.Mkdir(fmt.Sprintf("%s/w%d", dir, w), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stress(t, dir, "100:0", nil)
	if err := filepath.WalkDir(dir, age); err != nil {
		t.Fatal(err)
	}
	return dir
}

// stress runs the writers in a directory, captured if somebody wants the result.
func stress(t *testing.T, dir, command string, check func(*capture.Result)) {
	t.Helper()
	if check != nil {
		r := captured(t, &Method{}, dir, command)
		check(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), stressVariable+"="+command), os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

func captured(t *testing.T, m *Method, dir, command string) *capture.Result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Run(t.Context(), capture.Command{
		Args: []string{self}, Env: append(os.Environ(), stressVariable+"="+command), Dir: dir, Stderr: os.Stderr, Staging: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 {
		t.Errorf("exit status %d", r.ExitCode)
	}
	return r
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
