// Package winetest gives tests a Windows: Wine, with a prefix of its own.
package winetest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// half32 is where scripts/wine32 puts the 32-bit half of Wine's own DLLs.
const half32 = "/usr/local/lib/sandbox-install/wine32"

// A Wine is a Windows that ends with its test.
type Wine struct {
	Dir string   // its drive C:, which is there after the first program was run
	Env []string // "KEY=value", for every program

	program, server string
}

// New32 is New for a Windows that also runs 32-bit programs.
func New32(t testing.TB) *Wine {
	t.Helper()
	if _, err := os.Stat(half32); err != nil {
		need.Lacks(t, "wine32", err)
	}
	w := New(t)
	w.Env = append(w.Env, "WINEDLLPATH="+half32)
	return w
}

// New returns a Windows on which nothing was run yet.
func New(t testing.TB) *Wine {
	t.Helper()
	home := t.TempDir()
	prefix := filepath.Join(home, "prefix")
	w := &Wine{
		Dir: filepath.Join(prefix, "drive_c"),
		Env: []string{
			"HOME=" + home, "WINEPREFIX=" + prefix, "WINEDEBUG=-all", "DISPLAY=",
			"WINEDLLOVERRIDES=winemenubuilder.exe=d", // it would write menus outside the prefix
		},
		program: need.Program(t, "wine", "wine64", "/usr/lib/wine/wine64"),
	}
	w.server = need.Program(t, "wine", "wineserver", "/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver")
	t.Cleanup(func() { w.Stop(t) })
	return w
}

// Stop ends all programs, which writes the registry to its files. The next one
// starts Wine anew.
func (w *Wine) Stop(t testing.TB) {
	t.Helper()
	if out, err := w.command(w.server, "-k").CombinedOutput(); err != nil {
		t.Logf("wineserver -k: %v (it has ended already?)\n%s", err, out)
	}
	if out, err := w.command(w.server, "-w").CombinedOutput(); err != nil {
		t.Errorf("wineserver -w: %v\n%s", err, out)
	}
}

// Move moves the Windows to another directory.
func (w *Wine) Move(t testing.TB, prefix string) {
	t.Helper()
	w.Stop(t)
	if err := os.Rename(filepath.Dir(w.Dir), prefix); err != nil {
		t.Fatal(err)
	}
	w.Dir = filepath.Join(prefix, "drive_c")
	w.Env = append(w.Env, "WINEPREFIX="+prefix)
}

func (w *Wine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), w.Env...)
	return cmd
}

// Command is a command line of a Windows program.
func (w *Wine) Command(args ...string) *exec.Cmd { return w.command(w.program, args...) }

// Run runs a Windows program that must succeed, and returns its output.
func (w *Wine) Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := w.Command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", args, err, out, &stderr)
	}
	return string(bytes.ReplaceAll(out, []byte("\r"), nil))
}
