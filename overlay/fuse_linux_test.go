package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
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

// When the server is killed, so is the command, the run fails and says so, and leaves
// nothing behind.
func TestFuseServerKilled(t *testing.T) {
	s := newScene(t, "sh", "-c", "while :; do echo 1 >>made; sleep 0.01; done 2>&-")
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

// When the server of an ordinary user's run is killed, or the run itself, nothing is given
// out and nothing runs on; what it left goes with the next run.
func TestFuseUserKilled(t *testing.T) {
	for _, test := range []struct {
		name string
		pid  func(server, run int) int
		says string
		left int
	}{
		{"the server", func(server, _ int) int { return server }, "the server of the union has ended", 0},
		{"the run", func(_, run int) int { return run }, "signal: killed", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, "sh", "-c", "while :; do echo 1 >>made; sleep 0.01; done 2>&-")
			enterable(s.staging)
			if err := os.Chmod(s.staging, 0o777); err != nil {
				t.Fatal(err)
			}
			s.method = byUser{Fuse{}, "user"}
			s.checked(func() {
				killed := make(chan error)
				go func() {
					server, run, err := awaitServer()
					if err == nil {
						time.Sleep(time.Second / 2)
						err = unix.Kill(test.pid(server, run), unix.SIGKILL)
					}
					killed <- err
				}()
				_, runErr := s.try(t.Context())
				if err := <-killed; err != nil {
					t.Fatal(err)
				}
				if runErr == nil || !strings.Contains(runErr.Error(), test.says) {
					t.Errorf("error: %v", runErr)
				}
				for i := 0; len(servers()) > 0; i++ {
					if time.Sleep(time.Second / 10); i == 100 {
						t.Fatal("the server still runs")
					}
				}
				if left, err := os.ReadDir(s.staging); err != nil || len(left) != test.left {
					t.Errorf("left in the staging area: %v, %v; %v", left, err, runErr)
				}
				s.cmd.Args = script("echo 1 >made")
				r, err := s.try(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want(t, "changes", changes(r.List, s.dir), []string{"A made"})
			})
		})
	}
}

// awaitServer waits for a server of unions that a process of this one's started, and
// returns both.
func awaitServer() (server, run int, err error) {
	for range 100 {
		for server, run := range servers() {
			return server, run, nil
		}
		time.Sleep(time.Second / 10)
	}
	return 0, 0, errors.New("there is no server of unions")
}

// servers are the servers of unions that were started for this process, and by whom.
func servers() map[int]int {
	parents, found := make(map[int]int), make(map[int]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // gone
		}
		var pid, parent int
		var state string
		_, rest, _ := strings.Cut(string(text), ") ")
		_, err = fmt.Sscan(string(text), &pid)
		if _, restErr := fmt.Sscan(rest, &state, &parent); err != nil || restErr != nil {
			continue
		}
		parents[pid] = parent
		args, _ := os.ReadFile(filepath.Dir(name) + "/cmdline") // gone: not one of them
		if strings.HasPrefix(string(args), "sandbox-install: union\x00") {
			found[pid] = parent
		}
	}
	for server := range found {
		p := server
		for p > 1 && p != os.Getpid() {
			p = parents[p]
		}
		if p != os.Getpid() {
			delete(found, server)
		}
	}
	return found
}

// Where nobody may mount overlays, an ordinary user gets fuse.
func TestFuseSelected(t *testing.T) {
	need.Root(t)
	var out bytes.Buffer
	err := byUser{Fuse{}, "user"}.start(t.Context(), "select without overlays", nil, &out, &out)
	if err != nil || out.String() != "fuse" {
		t.Errorf("%v, %s", err, out.String())
	}
}

// helpSelect selects a method under a filter that has fsopen(2) know no overlayfs.
func helpSelect([]string) int {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	const load, equal, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	listener, err := listen([]unix.SockFilter{
		{Code: load, K: dataNr},
		{Code: equal, K: unix.SYS_FSOPEN, Jf: 1},
		{Code: end, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: end, K: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		panic(err)
	}
	go refuseOverlays(listener)
	m, _, err := capture.Select(context.Background(), []capture.Method{Method{}, Rootless{}, Fuse{}})
	if err != nil {
		fmt.Print(err)
		return 1
	}
	fmt.Print(m.Name())
	return 0
}

func refuseOverlays(listener int) {
	proc, err := unix.Open("/proc", unix.O_PATH, 0)
	if err != nil {
		panic(err)
	}
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // who asked is gone
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if name, err := n.text(proc, n.args[0]); err != nil || name == "overlay" {
			r.flags, r.err = 0, -int32(unix.ENODEV)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r))) // gone, too
	}
}
