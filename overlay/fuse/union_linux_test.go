package fuse

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// A union is judged by the scenes of package overlay, too.

// layers are the directories of a union.
type layers struct {
	lowers      []string
	upper, work string
	userxattr   bool // an overlay's notes are attributes of users
}

// mount mounts a union on a directory.
func (l *layers) mount(t *testing.T, on string) *Server {
	t.Helper()
	need.Root(t)
	open := func(name string, flags int) *os.File {
		f, err := os.OpenFile(name, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	s, err := StartServer((*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	dev := open("/dev/fuse", os.O_RDWR)
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("union", on, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(on, unix.MNT_DETACH); err != nil && err != unix.EINVAL { // TestMount: not mounted any more
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	opt := UnionOptions{Upper: open(l.upper, os.O_RDONLY), Work: open(l.work, os.O_RDONLY), Private: "trusted.overlay."}
	if l.userxattr {
		opt.Private = "user.overlay."
	}
	for _, lower := range l.lowers {
		opt.Lowers = append(opt.Lowers, open(lower, os.O_RDONLY))
	}
	if err := s.Add(dev, opt); err != nil {
		t.Fatal(err)
	}
	return s
}

// mounted mounts a union of a lower directory and returns where.
func mounted(t *testing.T, lower string) string {
	t.Helper()
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil { // for who becomes another user
		t.Fatal(err)
	}
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := layers{lowers: []string{lower}, upper: filepath.Join(base, "upper"), work: filepath.Join(base, "work")}
	on := filepath.Join(base, "merged")
	l.mount(t, on)
	return on
}

var (
	mountOn      = flag.String("mount", "", "a directory to mount a union on")
	mountOptions = flag.String("layers", "", "its layers, as mount(8) is told of those of an overlay: lowerdir=A:B,upperdir=C,workdir=D")
	mountMirror  = flag.Bool("mirror", false, "put it on a mirror of the lower directory, as for an ordinary user")
	mountKernel  = flag.Bool("kernel", false, "mount the kernel's overlay, as --method rootless does")
)

// TestMount mounts a union for a suite that wants to mount for itself, and serves it
// until it is unmounted.
func TestMount(t *testing.T) {
	if *mountOn == "" {
		t.Skip("no -mount was given")
	}
	var l layers
	for option := range strings.SplitSeq(*mountOptions, ",") {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "lowerdir":
			l.lowers = strings.Split(value, ":")
		case "upperdir":
			l.upper = value
		case "workdir":
			l.work = value
		}
	}
	if *mountMirror {
		l.mirror(t)
	}
	if *mountKernel {
		l.mountKernels(t, *mountOn)
	} else {
		l.mount(t, *mountOn)
	}
	for mounted := true; mounted; time.Sleep(10 * time.Millisecond) {
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		mounted = strings.Contains(string(table), " "+*mountOn+" ")
	}
}

// mirror has a mirror in the place of the lower directory, and notes in attributes that a
// user namespace may use.
func (l *layers) mirror(t *testing.T) {
	t.Helper()
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := t.TempDir()
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("mirror", seen, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	all := func(uint32) bool { return true }
	m, err := Serve(dev, Options{Root: l.lowers[0], HasUID: all, HasGID: all})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(seen, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		<-m.Ended()
	})
	l.lowers[0], l.userxattr = seen, true
}

// mountKernels mounts the kernel's overlay on a directory.
func (l *layers) mountKernels(t *testing.T, on string) {
	t.Helper()
	options := "lowerdir=" + l.lowers[0] + ",upperdir=" + l.upper + ",workdir=" + l.work
	if l.userxattr {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", on, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
}

var posixIn = flag.String("posix", "", "a directory that TestPosix judges; else one in a union")

// TestPosix has go-fuse's own suite judge a union: in a directory of lower, which is
// copied up for it.
func TestPosix(t *testing.T) {
	dir := *posixIn
	lower := dir
	if dir == "" {
		lower = t.TempDir()
	}
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if err := os.Mkdir(filepath.Join(lower, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if dir == "" {
		dir = mounted(t, lower)
	}
	for name, test := range posixtest.All {
		if name == "FcntlFlockLocksFile" { // one process' locks do not exclude each other: its own suite leaves it out
			continue
		}
		if name == "OpenSymlinkRace" && *posixIn != "" { // takes a file of the device of /etc/passwd for that
			continue
		}
		t.Run(name, func(t *testing.T) { test(t, filepath.Join(dir, name)) })
	}
}

// TestLayers mounts what a union has left, as upper once more and as a lower directory:
// with names of one file that have parted, and with a directory that was renamed.
func TestLayers(t *testing.T) {
	base := t.TempDir()
	in := func(l layers, script string) {
		t.Helper()
		t.Run("", func(t *testing.T) {
			l.mount(t, filepath.Join(base, "merged"))
			cmd := exec.Command("sh", "-euc", script)
			cmd.Dir = filepath.Join(base, "merged")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", script, err, out)
			}
		})
	}
	for _, name := range []string{"merged", "lower", "upper1", "work1", "upper2", "work2"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lower := filepath.Join(base, "lower")
	first := layers{lowers: []string{lower}, upper: filepath.Join(base, "upper1"), work: filepath.Join(base, "work1")}
	second := layers{lowers: []string{first.upper, lower}, upper: filepath.Join(base, "upper2"), work: filepath.Join(base, "work2")}
	if out, err := exec.Command("sh", "-euc", `cd "$1"; echo 1 >x; mkdir -p d/sub; echo 2 >d/sub/f`, "sh", lower).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in(first, `ln x y; mv d e; echo 3 >e/g`)
	in(second, `
		test "$(cat e/sub/f e/g | xargs)" = "2 3"; test ! -e d
		echo 1 >>x; test "$(stat -c %h,%s x y | xargs)" = "2,4 2,4"
		mv e/sub e/moved`)
	in(second, `
		test "$(cat e/moved/f)" = 2; test ! -e e/sub
		test "$(cat x)" = "$(printf '1\n1')"; stat y >/dev/null; rm y
		test "$(stat -c %F x)" = "regular file"; rm x; test "$(ls)" = e`)
}

// TestFull writes more than there is room for: what was written counts.
func TestFull(t *testing.T) {
	need.Root(t)
	base := t.TempDir()
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, "size=1500k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(base, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := layers{lowers: []string{filepath.Join(base, "lower")}, upper: filepath.Join(base, "upper"), work: filepath.Join(base, "work")}
	l.mount(t, filepath.Join(base, "merged"))
	f, err := os.Create(filepath.Join(base, "merged", "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := unix.Write(int(f.Fd()), make([]byte, 3<<20))
	if err != nil || n <= 1<<20 || n >= 3<<20 {
		t.Errorf("wrote %d: %v", n, err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != int64(n) {
		t.Errorf("%v %v, wrote %d", st, err, n)
	}
	if n, err = unix.Write(int(f.Fd()), make([]byte, 1<<20)); err != unix.ENOSPC {
		t.Errorf("wrote %d more: %v", n, err)
	}
}

// TestRemovedDir changes a directory of lower that has no name any more.
func TestRemovedDir(t *testing.T) {
	lower := t.TempDir()
	if err := os.Mkdir(filepath.Join(lower, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-euc", `rmdir ../d; chmod 700 .; touch -d @1 .; setfattr -n user.x -v 1 .; test "$(stat -c %a,%Y,%h .)" = 700,1,0; test -z "$(ls -A)"`)
	cmd.Dir = filepath.Join(mounted(t, lower), "d")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSetIDPipe has an ordinary user make a pipe with bits that a change of the owner takes.
func TestSetIDPipe(t *testing.T) {
	lower := t.TempDir()
	dir := filepath.Join(lower, "d")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(mounted(t, lower), "d", "pipe")
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is another user's
		err := unix.Setfsgid(1000)
		if err == nil {
			err = unix.Setfsuid(1000)
		}
		if err == nil {
			err = unix.Mkfifo(name, 0o4750)
		}
		made <- err
	}()
	var st unix.Stat_t
	if err := errors.Join(<-made, unix.Stat(name, &st)); err != nil || st.Mode != unix.S_IFIFO|0o4750 || st.Uid != 1000 {
		t.Errorf("mode %o of %d: %v", st.Mode, st.Uid, err)
	}
}

// TestMapped writes a file with privileges through memory, which takes none of them.
func TestMapped(t *testing.T) {
	need.Root(t)
	lower := t.TempDir()
	capability := []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") // struct vfs_cap_data: cap_net_raw+ep
	file := filepath.Join(lower, "f")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o755), unix.Chmod(file, 0o6755), unix.Setxattr(file, "security.capability", capability, 0)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(mounted(t, lower), "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	memory, err := unix.Mmap(int(f.Fd()), 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(memory, "new")
	if err := unix.Munmap(memory); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	buf := make([]byte, 64)
	n, err := unix.Fgetxattr(int(f.Fd()), "security.capability", buf)
	if err != nil || !bytes.Equal(buf[:n], capability) {
		t.Errorf("capability %x: %v", buf[:max(n, 0)], err)
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&0o7777 != 0o6755 {
		t.Errorf("mode %o: %v", st.Mode, err)
	}
	if text, err := os.ReadFile(f.Name()); string(text) != "new" {
		t.Errorf("%q: %v", text, err)
	}
}

// TestNames counts the names of a lower file that was copied up, while the kernel knows it
// by none, by one of lower, and by one of upper.
func TestNames(t *testing.T) {
	u := serveHere(t, "touch a; ln a b; ln a c")
	u.sh(t, `cd "$1/merged"; chmod 600 a; rm a; sleep 0.2
		test "$(stat -c %a,%h b)" = 600,2; ln b d; test "$(stat -c %h b)" = 3; rm d; test "$(stat -c %h b c | xargs)" = "2 2"`)
}

// TestForget has the kernel look up what it forgets at the same time.
func TestForget(t *testing.T) {
	u := serveHere(t, "touch f")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 20_000 {
				var out gofuse.EntryOut
				if status := u.Lookup(nil, &gofuse.InHeader{NodeId: gofuse.FUSE_ROOT_ID}, "f", &out); !status.Ok() {
					t.Error(status)
					return
				}
				if u.object(out.NodeId) == nil {
					t.Error("what was looked up is not known")
					return
				}
				u.Forget(out.NodeId, 1)
			}
		})
	}
	all.Wait()
}

// TestOrder lists a directory with changes in it: the names come as the kernel's overlay
// gives them, on which depends what some installers write (install-info of all in a
// directory, for one).
func TestOrder(t *testing.T) {
	const lower, change = "for i in $(seq 50); do echo >$i; done",
		"echo >>7; chmod 600 20; rm 3 5; echo >5; mv 9 moved; mkdir new; ln 30 linked; ls -U"
	u := serveHere(t, lower)
	list := func(on string) string {
		t.Helper()
		cmd := exec.Command("sh", "-euc", change)
		cmd.Dir = filepath.Join(u.base, on)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	u.sh(t, `cd "$1"; mkdir judge upper2 work2; mount -t overlay overlay -o lowerdir=lower,upperdir=upper2,workdir=work2 judge`)
	t.Cleanup(func() { u.sh(t, `umount "$1/judge"`) })
	if want, got := list("judge"), list("merged"); got != want {
		t.Errorf("names in the order %q, want %q", strings.Fields(got), strings.Fields(want))
	}
}
