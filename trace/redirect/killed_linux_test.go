//go:build amd64

package redirect

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestKilled: what a run left that was killed goes with the next one; what a run has that
// lives stays.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"live", "staging"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string) *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), confinedVariable+"="+dir, scriptVariable+"="+script)
		return cmd
	}
	var runs []*exec.Cmd
	for range 2 {
		cmd := run("mkdir -m 0 closed; echo 1 >a; echo ready; exec sleep 600")
		out, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may be dead
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, cmd)
	}
	count := func(want int, when string) {
		t.Helper()
		left, err := filepath.Glob(filepath.Join(dir, "staging", "*"))
		if err != nil || len(left) != want {
			t.Errorf("%s: %v, %v, want %d", when, left, err, want)
		}
	}
	count(2, "while both run")
	if err := runs[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = runs[0].Wait() // killed
	count(2, "after one was killed")
	if out, err := run("true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	count(1, "after another run")
	if left, err := os.ReadDir(filepath.Join(dir, "live")); err != nil || len(left) != 0 {
		t.Errorf("written: %v, %v", left, err)
	}
}
