package overlay

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// newFuse makes a union over FUSE of lower.
func newFuse(t testing.TB, lower, dir string) *union {
	t.Helper()
	need.Root(t)
	r := &rig{flavour: flavour{fuse: true}}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if r.staging, err = newStaging(dir, r.flavour); err != nil {
		t.Fatal(err)
	}
	if err := r.union(site{path: "."}, []*os.File{open(t, lower)}); err != nil {
		t.Fatal(err)
	}
	u := &union{layer: r.layers[0]}
	u.upperDir = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), u.upper.Fd())
	u.mergedDir = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), u.merged.Fd())
	return u
}

// TestFuseRandomVerbs is TestRandomVerbs with a union over FUSE, on one file system
// and on two, of which the kernel then must think the same.
func TestFuseRandomVerbs(t *testing.T) {
	need.Root(t)
	for name, upper := range map[string]func(testing.TB) string{"one file system": testing.TB.TempDir, "upper on tmpfs": newTmpfs} {
		for round := range rounds() {
			t.Run(fmt.Sprint(name, " ", round), func(t *testing.T) {
				forest := forestOf(round)
				lower, native := t.TempDir(), t.TempDir()
				forest.Plant(t, lower)
				forest.Plant(t, native)
				u := newFuse(t, lower, upper(t))
				j := &capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now().Add(-time.Minute)}
				got, want := forest.Disturb(u.mergedDir), forest.Disturb(native)
				for i := range got {
					if got[i] != want[i] {
						t.Errorf("%s; natively %s", got[i], want[i])
					}
				}
				j.After = capturetest.Take(t, native)
				u.check(t, j)
				sameToKernel(t, lower, j.Before, u)
			})
		}
	}
}

// sameToKernel mounts an overlay on the layers of a union. Without the index of the
// union, it can not know the other names of a file that was there before.
func sameToKernel(t *testing.T, lower string, before capturetest.Picture, u *union) {
	t.Helper()
	kernel := mountUnion(t, lower, u.upperDir, t.TempDir(), "index=off,redirect_dir=on,metacopy=off")
	defer kernel.Close()
	want, got := capturetest.Take(t, u.mergedDir), capturetest.Take(t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), kernel.Fd()))
	for path, s := range want {
		if s.Type != "d" && (before[path].Links > "1" || s.Links > "1") {
			delete(want, path)
			delete(got, path)
		}
	}
	samePicture(t, want, got)
}

// TestFuseReadsKernels shows by FUSE what an overlay of the kernel has left in its
// upper directory.
func TestFuseReadsKernels(t *testing.T) {
	forest := forestOf(0)
	lower, dir := t.TempDir(), t.TempDir()
	forest.Plant(t, lower)
	kernel := newUnion(t, lower, dir, "index=off,redirect_dir=on,metacopy=off")
	forest.Disturb(kernel.mergedDir)
	want := capturetest.Take(t, kernel.mergedDir)

	shell(t, dir+"/again", "ln -s ../upper .; mkdir work")
	again, err := os.Open(dir + "/again")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{flavour: flavour{fuse: true}}
	defer func() {
		if err := errors.Join(r.close(), again.Close()); err != nil {
			t.Error(err)
		}
	}()
	merged, err := r.mountUnion([]*os.File{open(t, lower)}, &room{again, r.flavour}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	samePicture(t, want, capturetest.Take(t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), merged.Fd())))
}

// samePicture compares two views of the same layers but for what overlays tell in
// ways of their own: who shares an inode.
func samePicture(t *testing.T, want, got capturetest.Picture) {
	t.Helper()
	for path, w := range want {
		g := got[path]
		w.Inode, g.Inode, w.Links, g.Links = "", "", "", ""
		if w != g {
			t.Errorf("%s: %+v, want %+v", path, g, w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: should not be there", path)
		}
	}
}

// A run in the third of three sandboxes, where there can be no overlay of the kernel.
func TestFuseNested(t *testing.T) {
	s := newScene(t, append(helper("run", ""), helper("run fuse", "", "sh", "-ec", `
		cd "$1"; echo new >new; mv old older; ln older hard; test "$(cat hard)" = old; echo seen`, "sh", t.TempDir())...)...)
	shell(t, s.cmd.Args[len(s.cmd.Args)-1], "echo old >old")
	if r := s.run(); r.ExitCode != 0 || !strings.Contains(s.out.String(), "seen") {
		t.Errorf("status %d: %s", r.ExitCode, s.out.String())
	}
}

// When the server is killed, the run fails and says so, whatever the command makes of
// it, and leaves nothing behind.
func TestFuseServerKilled(t *testing.T) {
	s := newScene(t, "sh", "-c", "while echo 1 >>made; do sleep 0.01; done 2>&-; exit 0")
	s.method = Fuse{}
	started := make(chan error)
	s.cmd.Started = func() {
		time.AfterFunc(time.Second/2, func() {
			started <- exec.Command("pkill", "-KILL", "-P", strconv.Itoa(os.Getpid()), "-f", "^sandbox-install: union").Run()
		})
	}
	s.checked(func() {
		_, err := s.try(t.Context())
		if killed := <-started; killed != nil {
			t.Fatal(killed)
		}
		if err == nil || !strings.Contains(err.Error(), "the server of the union has ended") {
			t.Errorf("error: %v", err)
		}
	})
}
