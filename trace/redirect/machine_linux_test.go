//go:build amd64

package redirect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// machineVariable tells this program to try to change the machine.
const machineVariable = "REDIRECT_TEST_MACHINE"

// machineMain tries what would change the machine, were it let do so and the arguments
// not wrong, or what is there already; and what a process may do to itself.
func machineMain() {
	var name unix.Utsname
	_ = unix.Uname(&name)
	say := func(what string, err error) { fmt.Printf("%s: %v\n", what, err) }
	raw := func(what string, number uintptr, args ...uintptr) {
		var a [4]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], 0, 0)
		say(what, errno)
	}
	open := func(name string, flags int) {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			err = unix.Close(fd)
		}
		say("open "+name, err)
	}
	say("sethostname", unix.Sethostname([]byte(unix.ByteSliceToString(name.Nodename[:]))))
	say("setdomainname", unix.Setdomainname([]byte(unix.ByteSliceToString(name.Domainname[:]))))
	raw("reboot", unix.SYS_REBOOT)
	raw("settimeofday", unix.SYS_SETTIMEOFDAY)
	raw("syslog", unix.SYS_SYSLOG, 8)        // of a console level that there is not
	tx := unix.Timex{Modes: 0x2000, Tick: 1} // ADJ_NANO, which changes a unit only; see adjtimex(2)
	raw("adjtimex", unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(&tx)))
	open("/proc/sys/kernel/domainname", unix.O_WRONLY)
	open("/proc/sysrq-trigger", unix.O_WRONLY)
	open("/dev/redirect-test", unix.O_WRONLY|unix.O_CREAT)
	say("mkdir", unix.Mkdir("/dev/redirect-test", 0o700))
	say("unlink", unix.Unlink("/dev/core"))
	say("chmod", unix.Chmod("/dev/full", 0o667))
	fd, err := unix.Open("/dev/full", unix.O_WRONLY, 0)
	if err == nil {
		err = unix.Fchmod(fd, 0o667)
	}
	say("fchmod", err)
	disks, _ := filepath.Glob("/dev/[vs]d?")
	for _, disk := range disks {
		open(disk, unix.O_RDWR)
	}
	open("/dev/null", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	open("/proc/self/comm", unix.O_WRONLY)
}

// TestMachine has root change nothing of the machine: neither by calls, nor by what is
// shown in /proc and /dev.
func TestMachine(t *testing.T) {
	need.Root(t)
	if _, err := os.Lstat("/dev/core"); os.IsNotExist(err) {
		if err := os.Symlink("/proc/kcore", "/dev/core"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove("/dev/core") })
	}
	t.Cleanup(func() { os.RemoveAll("/dev/redirect-test") }) // if it was let do so
	before, err := os.Stat("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := (&Method{}).Run(context.Background(), capture.Command{
		Args: []string{self}, Env: []string{machineVariable + "=1"}, Dir: "/", Staging: t.TempDir(), Stdout: out, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil || r.ExitCode != 0 {
		t.Errorf("status %d, %v", r.ExitCode, err)
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"open /proc": "read-only file system", "open /dev": "read-only file system", "mkdir": "read-only file system", "unlink": "read-only file system",
		"chmod": "<nil>", "fchmod": "<nil>", "open /dev/null": "<nil>", "open /proc/self/comm": "<nil>", // what is told, or is nothing
	}
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	for _, line := range lines {
		what, answer, _ := strings.Cut(line, ": ")
		expected, ok := want[what]
		if dir := strings.Join(strings.SplitN(what, "/", 3)[:min(2, strings.Count(what, "/")+1)], "/"); !ok {
			expected, ok = want[dir]
		}
		if !ok {
			expected = "operation not permitted"
		}
		if answer != expected {
			t.Errorf("%s, want %s", line, expected)
		}
	}
	if len(lines) < 15 {
		t.Errorf("only\n%s", got)
	}
	after, err := os.Stat("/dev/full")
	if err != nil || after.Mode() != before.Mode() {
		t.Errorf("/dev/full has mode %v, had %v; %v", after.Mode(), before.Mode(), err)
		_ = os.Chmod("/dev/full", before.Mode().Perm())
	}
}
