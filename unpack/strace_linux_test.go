package unpack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// changing are the system calls that change a disk.
var changing = []string{
	"openat", "mkdirat", "mknodat", "symlinkat", "linkat", "renameat2", "unlinkat", "fchownat", "fchmodat", "fchmod",
	"setxattr", "removexattr", "utimensat", "ioctl", "write", "ftruncate", "fsync", "syncfs",
}

// TestStrace kills before every system call that changes something, whatever our
// own counting says.
func TestStrace(t *testing.T) {
	need.Program(t, "strace")
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		t.Run(v.verb+filepath.Base(v.end), func(t *testing.T) {
			states := 0
			for _, call := range changing {
				for n := 1 + len(call)%*every; s.killedAt(t, v, call, n); n += *every {
					states++
				}
			}
			t.Logf("%d states, 0 bad", states)
		})
	}
}

// killedAt kills a verb before its nth call of a name. It reports whether there
// are so many.
func (s *scene) killedAt(t *testing.T, v verb, call string, n int) bool {
	t.Helper()
	dir := s.fresh(t, v.start)
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.Command("strace", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), exe)
	cmd.Env = append(os.Environ(), trialVar+"="+trial{Root: dir, Verb: v.verb, Arg: v.arg}.String())
	out, err := cmd.CombinedOutput()
	killed := err != nil
	if killed && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	s.checkRaw(t, v, dir)
	which := s.recovered(t, v, dir)
	if t.Failed() || !killed && which != v.end {
		t.Fatalf("killed before %s %d", call, n)
	}
	check(t, os.RemoveAll(dir))
	return killed
}
