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
	t.Parallel()
	need.Program(t, "strace")
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		t.Run(v.verb+filepath.Base(v.end), func(t *testing.T) {
			calls, states := s.traced(t, v), 0
			for _, call := range changing {
				for n := 1 + len(call)%*every; n <= calls[call]; n += *every {
					s.killAt(t, v, call, n)
					states++
				}
			}
			t.Logf("%d states, 0 bad", states)
		})
	}
}

// strace carries a verb out under strace. It returns what that writes.
func (v verb) strace(t *testing.T, dir string, args ...string) (trace string, err error) {
	t.Helper()
	exe, err := os.Executable()
	check(t, err)
	written := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", append(append([]string{"-qq", "-o", written}, args...), exe)...)
	cmd.Env = append(os.Environ(), trialVar+"="+trial{Root: dir, Verb: v.verb, Arg: v.arg}.String())
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	} else if err != nil {
		return "", err
	}
	text, err := os.ReadFile(written)
	check(t, err)
	return string(text), nil
}

// traced counts a verb's calls by name.
func (s *scene) traced(t *testing.T, v verb) map[string]int {
	t.Helper()
	dir := s.fresh(t, v.start)
	trace, err := v.strace(t, dir, "-e", "trace="+strings.Join(changing, ","))
	check(t, err)
	expect(t, dir, s.pictures[v.end])
	calls := make(map[string]int)
	for line := range strings.Lines(trace) {
		name, _, _ := strings.Cut(line, "(")
		calls[name]++
	}
	if calls["renameat2"] == 0 || calls["openat"] == 0 {
		t.Fatalf("calls %v", calls)
	}
	check(t, os.RemoveAll(dir))
	return calls
}

// killAt kills a verb before its nth call of a name, if it makes so many this time.
func (s *scene) killAt(t *testing.T, v verb, call string, n int) {
	t.Helper()
	dir := s.fresh(t, v.start)
	_, err := v.strace(t, dir, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n))
	killed := err != nil
	s.checkRaw(t, v, dir)
	which := s.recovered(t, v, dir)
	if t.Failed() || !killed && which != v.end {
		t.Fatalf("killed before %s %d", call, n)
	}
	check(t, os.RemoveAll(dir))
}
