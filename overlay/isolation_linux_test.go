package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// helpDial reports whether it can connect: its arguments are a network and an
// address.
func helpDial(args []string) int {
	c, err := net.Dial(args[0], args[1])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.Close()
	return 0
}

// serve listens until the test ends.
func serve(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

// No daemon of the host can be asked by a socket in the file system.
func TestHostSockets(t *testing.T) {
	run, err := os.MkdirTemp("/run", "sandbox-install-test-")
	if err != nil {
		need.Lacks(t, "root", err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	for name, dir := range map[string]string{"in run": run, "elsewhere": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(dir, "socket")
			serve(t, "unix", socket)
			want(t, "outside", helpDial([]string{"unix", socket}), 0)
			s := newScene(t, helper("dial", "unix", socket)...)
			want(t, "inside", s.run().ExitCode, 1)
		})
	}
	t.Run("abstract", func(t *testing.T) {
		socket := "@sandbox-install-test" + filepath.Base(run)
		serve(t, "unix", socket)
		s := newScene(t, helper("dial", "unix", socket)...)
		abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
		if errno != 0 || abi < 6 {
			need.Lacks(t, "landlock", fmt.Sprint("version ", int(abi), ", ", errno))
		}
		want(t, "inside", s.run().ExitCode, 1)
		s.cmd.ShareRun = true
		want(t, "inside, shared", s.run().ExitCode, 0)
	})
	t.Run("shared run", func(t *testing.T) {
		socket := filepath.Join(run, "shared")
		serve(t, "unix", socket)
		s := newScene(t, helper("dial", "unix", socket)...)
		s.cmd.ShareRun = true
		r := s.run()
		want(t, "inside", r.ExitCode, 0)
		want(t, "notes", len(r.List.Notes) > 0 && r.List.Notes[0].Kind == "shared", true)
	})
}

func TestNoNetwork(t *testing.T) {
	address := serve(t, "tcp", "127.0.0.1:0").Addr().String()
	for _, none := range []bool{false, true} {
		s := newScene(t, helper("dial", "tcp", address)...)
		s.cmd.NoNetwork = none
		want(t, fmt.Sprint("no network: ", none), s.run().ExitCode == 1, none)
	}
	s := newScene(t, script("grep -v lo: /proc/net/dev | wc -l; test $(cat /sys/class/net/lo/flags) = 0x9 || ip link show lo | grep -q LOWER_UP")...)
	s.cmd.NoNetwork = true
	want(t, "loopback is up", s.run().ExitCode, 0)
	want(t, "lines but lo", s.out.String(), "2\n") // the head
}

// The command sees the processes of the sandbox and no others, and what belongs
// to the whole machine is out of its reach.
func TestMachine(t *testing.T) {
	s := newScene(t, script(`
		may() { "$@" >/dev/null 2>&1 && echo "may: $*"; :; }
		tr '\0' ' ' < /proc/1/cmdline | grep -q '^sandbox-install: init'
		test $(ls /proc | grep -c '^[0-9]') -le 6
		may touch /proc/sys/kernel/hostname
		may date -s @0
		may chmod 700 /proc/1/exe
		may mkdir /sys/kernel/x /sys/fs/cgroup/x
		for d in $(find /dev -xdev -type b ! -name 'loop*'); do may head -c 1 $d; done
		hostname elsewhere
		echo ok > /dev/null`)...)
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "status", s.run().ExitCode, 0)
	want(t, "output", s.out.String(), "")
	after, err := os.Hostname()
	want(t, "host name", after, name)
	want(t, "error", err, nil)
}

// privately runs the rest of a test in this program started again, in a mount
// namespace of its own: a test may mount there what it likes.
func privately(t *testing.T) (inside bool) {
	t.Helper()
	need.Root(t)
	if os.Getenv("OVERLAY_TEST_INSIDE") == t.Name() {
		return true
	}
	cmd := exec.Command("unshare", "--mount", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "OVERLAY_TEST_INSIDE="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	} else if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
	return false
}

// sh runs a script on the host.
func sh(t *testing.T, dir, text string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", text)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v:\n%s", text, err, out)
	}
}

// mount runs a script in the scene's directory, which may leave mounts there.
func (s *scene) mount(text string) {
	s.t.Helper()
	sh(s.t, s.dir, "mount --bind . .; cd "+s.dir+"\n"+text)
	s.t.Cleanup(func() { sh(s.t, "/", "umount --recursive --lazy "+s.dir) })
}

// Every mounted file system has a layer of its own, whatever its name, and keeps
// its flags.
func TestMounts(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`
		for d in */; do echo new > "$d/new" || echo "$d"; done
		chmod --reference tmpfs/kept tmpfs/kept
		rm tmpfs/old; cat bind/old tmpfs/inner/old
		echo c >> bind/old; cat source/old
		echo more >> file
		test "$(stat -c %a:%u tmpfs)" = 1711:7
		! ./noexec/true 2>/dev/null
		! head -c 0 null-device-on-nodev/null 2>/dev/null
		grep -q tmpfs/inner.*nosuid /proc/self/mounts`)...)
	s.mount(`
		mkdir tmpfs bind ro noexec "a:b,c=d \\ e" source "$(printf 'new\nline')" null-device-on-nodev
		mount -t tmpfs -o mode=1711,uid=7 tmpfs tmpfs; echo o > tmpfs/old; echo k > tmpfs/kept
		mkdir tmpfs/inner; mount -t tmpfs -o nosuid tmpfs tmpfs/inner; echo i > tmpfs/inner/old
		echo b > source/old; mount --bind source bind
		mount -t tmpfs -o ro tmpfs ro
		mount -t tmpfs -o noexec tmpfs noexec; cp /bin/true noexec
		mount -t tmpfs -o nodev tmpfs null-device-on-nodev; mknod null-device-on-nodev/null c 1 3
		mount -t tmpfs tmpfs "a:b,c=d \\ e"; mount -t tmpfs tmpfs "$(printf 'new\nline')"
		echo original > original; touch file; mount --bind original file`)
	r := s.run()
	if r.ExitCode != 0 {
		t.Errorf("status %d", r.ExitCode)
	}
	want(t, "output", s.out.String(), "sh: 2: cannot create ro//new: Read-only file system\nro/\nb\ni\nb\nc\n")
	want(t, "notes", r.List.Notes, []plist.Note{{
		Kind: plist.NoteLost,
		Text: s.dir + "/source is also mounted on " + s.dir + "/bind: what was written there is listed by one of the names only",
	}})
	want(t, "changes", changes(r.List, s.dir), []string{
		"A a:b,c=d \\ e/new", "M file", "A new\nline/new", "A noexec/new",
		"A null-device-on-nodev/new", "M original", "A source/new", "M source/old", "A tmpfs/new", "D tmpfs/old",
	})
}

// A file that is mounted elsewhere too is one file inside as it is outside; one
// that has no other name is a private copy.
func TestFileMounts(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`
		echo more >> file; cmp file original
		echo more >> only; ! mv file elsewhere 2>/dev/null
		! touch fixed 2>/dev/null`)...)
	sh(t, s.dir, `
		echo o > original; touch file; mount --bind original file
		echo r > removed; touch only; mount --bind removed only; rm removed
		echo f > fixed; mount --bind fixed fixed; mount -o remount,bind,ro fixed`)
	t.Cleanup(func() { sh(t, s.dir, "umount file only fixed") })
	r := s.run()
	want(t, "output", s.out.String(), "")
	want(t, "status", r.ExitCode, 0)
	want(t, "changes", changes(r.List, s.dir), []string{"M file", "M only", "M original"})
}

// A renamed directory takes along what is mounted below it: mounts on mounts, files
// and what is there twice.
func TestMovedMounts(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`
		mv a b; rm b/m/old; echo 2 > b/m/new; echo 2 >> b/m/inner/i; echo 2 >> b/m/inner/file
		mkdir b/deep; mv b/m2 b/deep/m 2>/dev/null && exit 3; mv b c; echo 3 > c/view/v`)...)
	s.mount(`
		mkdir -p a/m a/m2 a/view source; echo 1 > a/f
		mount -t tmpfs -o mode=1711,uid=7 tmpfs a/m; echo 1 > a/m/old; mkdir a/m/d; echo 1 > a/m/d/same; ln a/m/d/same a/m/link
		mkdir a/m/inner; mount -t tmpfs tmpfs a/m/inner; echo 1 > a/m/inner/i
		touch a/m/inner/file; echo 1 > only; mount --bind only a/m/inner/file
		mount -t tmpfs tmpfs a/m2; mount --bind source a/view`)
	r := s.run()
	want(t, "output", s.out.String(), "")
	want(t, "status", r.ExitCode, 0)
	want(t, "changes", changes(r.List, s.dir), []string{
		"D a", "D a/f", "D a/m", "D a/m/d", "D a/m/d/same", "D a/m/inner", "D a/m/inner/file", "D a/m/inner/i", "D a/m/link", "D a/m/old",
		"D a/m2", "D a/view",
		"A c", "A c/deep", "A c/f", "A c/m", "A c/m/d", "A c/m/d/same", "A c/m/inner", "A c/m/inner/file", "A c/m/inner/i", "A c/m/link", "A c/m/new",
		"A c/m2", "A c/view", "M only", "A source/v",
	})
	for path, mode := range map[string]fs.FileMode{"c/m": fs.ModeDir | fs.ModeSticky | 0o711, "c/m/link": 0o644} {
		if e := r.List.Find(s.dir[1:] + "/" + path); e == nil || e.Mode != mode || (e.Link != "") != (path == "c/m/link") {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// A shared mount (mount_namespaces(7)) does not carry what is mounted inside to
// the host, nor back.
func TestPropagation(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`mount -t tmpfs tmpfs a/inner; mount -t tmpfs tmpfs b; echo new > a/new`)...)
	s.mount(`mkdir a b; mount -t tmpfs tmpfs a; mkdir a/inner; mount --make-rshared /`)
	r := s.run()
	want(t, "status", r.ExitCode, 0)
	want(t, "changes", changes(r.List, s.dir), []string{"A a/new"})
}

// What can be no layer of an overlay is there, read-only, and is said to be a
// hole in the kernel's words.
func TestHole(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`cat deep/old; ! echo new > deep/new`)...)
	s.mount(`
		mkdir l1 l2 u1 u2 w1 w2 once deep; echo old > l1/old
		mount -t overlay -o lowerdir=l1,upperdir=u1,workdir=w1,index=on,nfs_export=on overlay once
		mount -t overlay -o lowerdir=once,upperdir=u2,workdir=w2,index=on,nfs_export=on overlay deep`)
	r := s.run()
	want(t, "status", r.ExitCode, 0)
	if len(r.List.Notes) != 1 || r.List.Notes[0].Kind != "hole" || !strings.Contains(r.List.Notes[0].Text, s.dir+"/deep (overlay) could not be made writable inside: "+errStacked.Error()) {
		t.Errorf("notes: %v", r.List.Notes)
	}
}

// helpProbe probes, inside a run or with less privilege.
func helpProbe([]string) int {
	err := Method{}.Probe(context.Background())
	var unavailable *capture.Unavailable
	switch {
	case err == nil:
		return 0
	case errors.As(err, &unavailable):
		fmt.Printf("%v\nhint: %s\n", err, unavailable.Hint)
	default:
		fmt.Println(err)
	}
	return 1
}

// In a sandbox, where / is an overlay, there is room for one more; not for a third.
func TestNested(t *testing.T) {
	s := newScene(t, helper("probe")...)
	if r := s.run(); r.ExitCode != 0 {
		t.Errorf("second: status %d: %s", r.ExitCode, s.out.String())
	}
	s = newScene(t, helper("run", "", "sh", "-ec", "echo new > "+s.dir+"/new; test -f "+s.dir+"/new")...)
	if r := s.run(); r.ExitCode != 0 {
		t.Errorf("run in the second: status %d: %s", r.ExitCode, s.out.String())
	}
	s = newScene(t, append(helper("run", ""), helper("probe")...)...)
	want(t, "third", s.run().ExitCode, 1)
	if !strings.Contains(s.out.String(), errStacked.Error()) {
		t.Errorf("third: %s", s.out.String())
	}
}

// A clean room has the kernel's file systems and the host's devices, though its
// directory has not even mount points for them.
func TestRoot(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		need.Lacks(t, "busybox", err)
	}
	s := newScene(t, "/bin/busybox", "sh", "-ec", `
		cd /; mkdir usr; echo new > usr/new; /bin/busybox rm etc/old
		test -c /dev/null; test -e /proc/self/exe; test -d /sys/kernel; test ! -e /root
		echo x > /dev/null
		test "$(echo /*)" = "/bin /dev /etc /proc /sys /usr"`)
	sh(t, s.dir, `mkdir bin etc; cp `+busybox+` bin/busybox; echo old > etc/old`)
	s.cmd.Root, s.cmd.Dir, s.cmd.Env = s.dir, "/", []string{"PATH=/bin"}
	r := s.run()
	if r.ExitCode != 0 {
		t.Errorf("status %d: %s", r.ExitCode, s.out.String())
	}
	want(t, "changes", changes(r.List, "/"), []string{"D etc/old", "A usr", "A usr/new"})
}

// In a container even a device node that the command made itself leads nowhere,
// and nothing is left of the cgroup, however the run ends.
func TestContainer(t *testing.T) {
	if err := sandbox.CheckContainer(); err != nil {
		need.Lacks(t, "container", err)
	}
	text := `
		may() { "$@" >/dev/null 2>&1 && echo "may: $*"; :; }
		disk=$(lsblk -dnro MAJ:MIN | grep -v '^7:' | head -n 1)
		mknod node b ${disk%:*} ${disk#*:}
		may head -c 1 node
		may mount -t tmpfs tmpfs /mnt
		echo x > /dev/null; echo new > new
		exit 5`
	contained := func(args ...string) *scene {
		s := newScene(t, args...)
		s.cmd.Isolate = capture.IsolateContainer
		return s
	}
	s := contained("sh", "-c", text)
	r := s.run()
	want(t, "status", r.ExitCode, 5)
	want(t, "output", s.out.String(), "")
	want(t, "changes", changes(r.List, s.dir), []string{"A new", "A node"})

	s = contained("no-such-program")
	s.checked(func() {
		_, err := s.try(t.Context())
		var start *capture.StartError
		want(t, "StartError", errors.As(err, &start) && errors.Is(err, fs.ErrNotExist), true)
	})

	s = contained("sh", "-c", "trap '' TERM; sleep 1000; sleep 1000")
	s.checked(func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.try(ctx)
		want(t, "cancelled", errors.Is(err, context.DeadlineExceeded), true)
	})
	s = contained("true")
	s.killSupervisor("OVERLAY_TEST_ISOLATE=container")
	if left := output(t, "find", "/sys/fs/cgroup", "-name", "sandbox-install-*"); left != "" {
		t.Errorf("cgroups left:\n%s", left)
	}

	address := serve(t, "tcp", "127.0.0.1:0").Addr().String()
	s = contained(helper("dial", "tcp", address)...)
	s.cmd.NoNetwork = true
	want(t, "network", s.run().ExitCode, 1)
}

// A probe names what is missing, and what to do.
func TestProbeReason(t *testing.T) {
	for name, test := range map[string]struct {
		wrap         []string
		reason, hint string
	}{
		"no root":        {[]string{"setpriv", "--reuid=65534", "--clear-groups"}, "fsopen overlay: operation not permitted", "run as root"},
		"no SYS_ADMIN":   {[]string{"setpriv", "--bounding-set=-sys_admin"}, "fsopen overlay: operation not permitted", "CAP_SYS_ADMIN"},
		"user namespace": {[]string{"unshare", "--user", "--map-root-user", "--mount"}, "trusted attribute: operation not permitted", "of a user namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			need.Root(t)
			exe := filepath.Join(t.TempDir(), "probe") // where anybody may execute it
			sh(t, "/", "cp "+os.Args[0]+" "+exe+"; chmod 755 "+exe+" $(dirname "+exe+") $(dirname $(dirname "+exe+"))")
			args := append(test.wrap, "env", "OVERLAY_TEST_HELP=probe", exe)
			out := output(t, args...)
			if !strings.Contains(out, test.reason) || !strings.Contains(out, test.hint) {
				t.Errorf("got %s, want %q and %q", out, test.reason, test.hint)
			}
		})
	}
}

// In a chroot that is no mount point nothing is tried that might reach the host.
func TestChroot(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, "true")
	sh(t, s.dir, `mkdir proc; mount -t proc proc proc; cp `+os.Args[0]+` probe
		ldd probe | grep -o '/[^ ]*' | xargs -I{} cp --parents {} . || test -z "$(ldd probe 2>/dev/null)"`)
	t.Cleanup(func() { sh(t, s.dir, "umount proc") })
	cmd := exec.Command("chroot", s.dir, "/probe")
	cmd.Env = []string{"OVERLAY_TEST_HELP=probe"}
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), errChroot.Error()) {
		t.Errorf("%v: %s", err, out)
	}
}
