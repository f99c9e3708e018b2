package trace

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// These tell the test's program to be a run, or a recovery, that is killed before
// its step of that number.
const (
	crashVariable = "TRACETEST_CRASH" // number, directory, "run" or "recover", by colons
	crashScript   = `cd "$1"
		echo 2 >>f; chmod 600 h; mv d moved; mkdir d; echo 3 >d/f; mv d moved/deep; ln -s moved d
		rm g; echo 1 >g; ln h i; rm -r t; mv -T s/x x; echo 4 >x/b; setfattr -n user.b -v 2 f; mknod n p; rm p; touch -h l; umount --version >/dev/null`
	crashBefore = `cd "$1"
		echo 1 >f; ln f fl; echo 1 >g; echo 1 >h; mkdir -p d/e t/u s/x; echo 1 >d/a; echo 1 >d/e/b; echo 1 >t/u/c; echo 1 >s/x/b
		ln -s f l; mkfifo p; setfattr -n user.a -v 1 f; find . -depth -exec touch -h -d 2001-01-01 {} +`
)

func crashMain(text string) {
	parts := strings.Split(text, ":")
	left, err := strconv.Atoi(parts[0])
	if err != nil {
		panic(err)
	}
	dir, staging := parts[1]+"/live", parts[1]+"/staging"
	step = func() {
		if left--; left < 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
	if parts[2] == "recover" {
		_, err = Recover(context.Background(), staging)
	} else {
		var null *os.File
		if null, err = os.Open(os.DevNull); err == nil {
			var result *capture.Result
			result, err = (&Method{}).Run(context.Background(), capture.Command{
				Args: []string{"/bin/sh", "-ec", crashScript, "sh", dir}, Env: os.Environ(), Dir: "/", Staging: staging,
				Stdin: null, Stdout: os.Stderr, Stderr: os.Stderr,
			})
			if err == nil {
				err = printResult(result)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var every = flag.Int("every", 13, "try only each n-th step")

// TestCrash kills runs before each step of recording and rolling back, kills the
// recovery, recovers again, and compares with what was.
func TestCrash(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	for _, sub := range []string{"live", "staging"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	live, staging := filepath.Join(dir, "live"), filepath.Join(dir, "staging")
	if out, err := exec.Command("sh", "-ec", crashBefore, "sh", live).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, above := take(t, live), modified(t, staging)
	for n := 0; ; n += *every {
		killed := crash(t, n, dir, "run")
		if killed {
			for _, path := range journals(t, staging) {
				if err := refuseUnfinished(staging); err == nil && hasLog(path) {
					t.Error("a run would begin though another is not rolled back")
				}
			}
			crash(t, n/2+3, dir, "recover")
		}
		if _, err := Recover(t.Context(), staging); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		if same(t, take(t, live), before); t.Failed() {
			t.Fatalf("killed before step %d", n)
		}
		if now := modified(t, staging); !now.Equal(above) {
			t.Fatalf("killed before step %d: the directory above was changed %v, and now %v", n, above, now)
		}
		if killed {
			continue
		}
		if n < 50 {
			t.Errorf("only %d steps", n)
		}
		return
	}
}

func modified(t *testing.T, dir string) time.Time {
	t.Helper()
	st, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime()
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	found, err := capture.FindStaging(dir, journalPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func hasLog(path string) bool {
	_, err := os.Stat(filepath.Join(path, "log"))
	return err == nil
}

// crash starts this program to be killed, and reports whether it was.
func crash(t *testing.T, n int, dir, what string) bool {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s:%s", crashVariable, n, dir, what))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if status := cmd.ProcessState.Sys().(interface{ Signaled() bool }); !status.Signaled() {
		t.Fatalf("step %d: %v\n%s", n, err, out)
	}
	waitForOrphans(t, dir)
	return true
}

// waitForOrphans waits until what a killed run had started is stopped, by the copy
// of the program that outlives it.
func waitForOrphans(t *testing.T, dir string) {
	t.Helper()
	for range 1000 {
		out, err := exec.Command("pgrep", "-f", "--", "sh "+dir+"/live").Output()
		if err != nil && len(out) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("what a killed run had started goes on running")
}

// take takes a picture without inode numbers: a directory that was removed and made
// again has another.
func take(t *testing.T, dir string) capturetest.Picture {
	t.Helper()
	p := capturetest.Take(t, dir)
	first := make(map[string]string)
	for _, path := range slices.Sorted(maps.Keys(p)) {
		s := p[path]
		if first[s.Inode] == "" {
			first[s.Inode] = path
		}
		s.Inode = first[s.Inode]
		p[path] = s
	}
	return p
}
