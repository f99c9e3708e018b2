package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// busy is an installation that has written much, left a child, and goes on
// until it is stopped. It makes the file "ready" in its output directory, which
// it reaches by descriptor 1, once all of that is true.
const busy = `mkdir /opt/half
	for i in $(seq 500); do echo $i >/opt/half/$i; done
	rm -rf /usr/share/doc
	sleep 1000 &
	echo ready
	wait`

// TestSameRoot captures in one root, again and again: law L1 says that the next one
// finds it as it was.
func TestSameRoot(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	base := newRoot(t, installers[0])
	fresh := takePicture(t, base)
	for name, test := range map[string]func(t *testing.T, base string){
		"stopped": testStopped, "command fails": testCommandFails, "full disk": testFullDisk, "deterministic": testDeterministic,
		"options": testOptions, "no network": testNetworkNone, "compress": testCompress,
	} {
		t.Run(name, func(t *testing.T) { test(t, base) })
	}
	samePicture(t, "places touched", fresh, takePicture(t, base))
}

// testStopped keeps law L1 and leaves no file, however a run is ended.
func testStopped(t *testing.T, base string) {
	for _, end := range []struct {
		name   string
		stop   func(group int) error
		status int // as a shell shows it
	}{
		{"interrupt", func(group int) error { return syscall.Kill(-group, syscall.SIGINT) }, 130},
		{"terminate", func(group int) error { return syscall.Kill(group, syscall.SIGTERM) }, 143},
		{"hangup", func(group int) error { return syscall.Kill(-group, syscall.SIGHUP) }, 129},
		{"kill", func(group int) error { return syscall.Kill(group, syscall.SIGKILL) }, 137},
	} {
		t.Run(end.name, func(t *testing.T) {
			out := t.TempDir()
			untouched(t, base, func() {
				if got := stopped(t, base, out, end.stop); got != end.status {
					t.Errorf("status %d, want %d", got, end.status)
				}
				isEmpty(t, out)
				if end.name == "kill" { // nobody was left to tidy up: the next run does it
					captureNothing(t, base)
				}
			})
		})
	}
}

// stopped starts a busy run and ends it when it is ready. It returns the status
// once nothing of the run is left, and fails the test if something stays.
func stopped(t *testing.T, root, out string, stop func(group int) error) int {
	t.Helper()
	running := processes(t)
	cmd := sandboxed(busy, "--root", root, "-o", out)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready"))
	if _, err := stdout.Read(ready); err != nil {
		t.Fatal(err)
	}
	if err := stop(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); processes(t) != running && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // after SIGKILL the kernel takes the rest down
	}
	return status(t, err)
}

func captureNothing(t *testing.T, root string) {
	t.Helper()
	loud(t, sandboxed("true", "--root", root, "-o", t.TempDir()))
}

// status is the exit status as a shell shows it.
func status(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

func isEmpty(t testing.TB, dir string) {
	t.Helper()
	if left := output(t, dir, "find", ".", "-mindepth", "1"); left != "" {
		t.Errorf("left in %s:\n%s", dir, left)
	}
}

// testCommandFails passes the command's own status on and writes only if asked.
func testCommandFails(t *testing.T, base string) {
	for script, want := range map[string]int{
		"echo half >/opt/half; exit 3":        3,
		"echo half >/opt/half; kill -9 $$":    137,
		"echo half >/opt/half; kill -TERM $$": 143,
	} {
		out := t.TempDir()
		untouched(t, base, func() {
			if got := status(t, sandboxed(script, "--root", base, "-o", out).Run()); got != want {
				t.Errorf("%s: status %d, want %d", script, got, want)
			}
		})
		isEmpty(t, out)

		if got := status(t, sandboxed(script, "--root", base, "-o", out, "--keep-failed").Run()); got != want {
			t.Errorf("%s: with --keep-failed: status %d, want %d", script, got, want)
		}
		if got := printed(t, theFiles(t, out).tarball)["opt/half"]; got != "A" {
			t.Errorf("%s: with --keep-failed: /opt/half is %q", script, got)
		}
	}
}

// testFullDisk writes its result onto a file system that is too small for it.
func testFullDisk(t *testing.T, base string) {
	out := t.TempDir()
	output(t, ".", "mount", "-t", "tmpfs", "-o", "size=256k", "small", out)
	t.Cleanup(func() { output(t, ".", "umount", out) })
	var stderr strings.Builder
	untouched(t, base, func() {
		cmd := sandboxed("head -c 4M /dev/urandom >/opt/large", "--root", base, "-o", out)
		cmd.Stderr = &stderr
		if got := status(t, cmd.Run()); got != 125 {
			t.Errorf("status %d, want 125", got)
		}
	})
	if !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("the message does not say why: %s", &stderr)
	}
	isEmpty(t, out)
}

// testDeterministic packs two runs of one installation into identical bytes.
// The clock is what differs between them: SOURCE_DATE_EPOCH takes it away.
func testDeterministic(t *testing.T, base string) {
	in := installers[0]
	run := func() files {
		out := t.TempDir()
		cmd := sandboxed(in.at(in.install), "--root", base, "-o", out)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
		loud(t, cmd)
		return theFiles(t, out)
	}
	first := run()
	time.Sleep(time.Second) // so that a time that slips through is seen
	second := run()
	output(t, ".", "cmp", first.plist, second.plist)
	output(t, ".", "cmp", first.tarball, second.tarball)
	if size := output(t, filepath.Dir(first.tarball), "stat", "-c", "%s", first.tarball); len(size) < 5 {
		t.Errorf("a tarball of %s bytes shows nothing", size)
	}
}
