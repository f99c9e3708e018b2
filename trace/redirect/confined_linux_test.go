//go:build amd64

package redirect

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// confinedVariable tells this program to capture a script in that directory.
const confinedVariable = "REDIRECT_TEST_CONFINED"

// scriptVariable tells it the script.
const scriptVariable = "REDIRECT_TEST_SCRIPT"

const confinedBefore = `
	umask 022; mkdir bin old kept whole; echo 1 >whole/x; echo 1 >bin/tool; echo 1 >old/a; echo 1 >kept/a; echo 1 >kept/b; ln -s tool bin/link
	chmod 555 old kept; chmod 444 kept/a; touch -d @1000000000 bin/tool old/a kept/a kept/b`

// confinedRun does what an installer does, and reads it back by a script of its own.
const confinedRun = `
	test "$(id -u)$(id -g)" = 00
	printf '#!/bin/sh -e\necho "$0" $#\n' >bin/script; chmod 755 bin/script; test "$(bin/script x y)" = "bin/script 2"
	install -m 444 -o 0 -g 12 bin/script bin/copy; echo '#' >>bin/copy; chown 7 bin/copy; chmod 4711 bin/copy
	test "$(stat -c '%a %u %g' bin/copy)" = "4711 7 12"
	test "$(cd kept && ls | tr '\n' ' ')" = "a b "; mv kept/a kept/c; test "$(cd kept && ls | tr '\n' ' ')" = "b c "
	rm -r old; ! test -e old/a; mkdir old; echo 2 >old/n; ln old/n old/m; ln -sf script bin/link
	echo 2 >>bin/tool; cp bin/script ran; ./ran >/dev/null; test "$(cd bin && pwd)" = "$PWD/bin"; sed -i s/1/3/ kept/b
	mv whole moved; ! test -e whole; test "$(cat moved/x)" = 1
	mkdir /dev/shm/$$; echo 1 >/dev/shm/$$/a; ln /dev/shm/$$/a /dev/shm/$$/b; mv /dev/shm/$$/a /dev/shm/$$/c; rm -r /dev/shm/$$
	mkfifo p; (echo word >p &) ; read word <p; test "$word" = word
	(cd /usr/local/bin && echo x >redirect-test && test -x . && rm redirect-test)`

// TestClosed has nobody change what only root may see: that is refused, and told; but
// what need not be seen to be changed is changed. What is nobody's seems root's.
func TestClosed(t *testing.T) {
	need.Root(t)
	need.Program(t, "setpriv")
	got := confined(t, 65534, []string{"--reuid", "65534", "--regid", "65534", "--clear-groups"},
		"mkdir -m 700 closed; echo 1 >closed/a; echo 1 >secret; echo 1 >other; chmod 600 secret other; echo 1 >own; chown 65534:65534 own",
		"test $(stat -c %u%g own) = 00; ! echo 2 >closed/a; ! echo 2 >closed/n; ! rm closed/a; ! ls closed; ! echo 2 >>other; echo 2 >secret; test ! -e closed/a")
	want := `2 content,time "/live/secret" -rw------- 0:0 2 ` + "b9a1a3183dd350f0e896d0f4b59c87e7bda8b1ed3a1af76afc86c1cb8f7cbbde" + ` ""
status 0, notes [{hole "/live/closed" is closed to the user: the command was refused to change something there} {hole "/live/other" is closed to the user: the command was refused to change something there}]
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// refusedVariable tells it to refuse itself unshare(2), as Docker's filter does.
const refusedVariable = "REDIRECT_TEST_REFUSED"

func refuseUnshare() error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNSHARE, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	code := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&code)))
	if errno != 0 {
		return errno
	}
	return nil
}

// confinedMain prints what was captured.
func confinedMain(dir string) {
	if os.Getenv(refusedVariable) != "" {
		if err := refuseUnshare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	r, err := (&Method{}).Run(context.Background(), capture.Command{
		Args: []string{"sh", "-euc", os.Getenv(scriptVariable)}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: dir + "/live", Staging: dir + "/staging",
		Stdin: nil, Stdout: os.Stderr, Stderr: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := range r.List.Entries {
		e := &r.List.Entries[i]
		fmt.Printf("%d %s %q %v %d:%d %d %s %q\n", e.Op, e.Changed, e.Path, e.Mode, e.UID, e.GID, e.Size, e.Digest, e.Link)
	}
	fmt.Printf("status %d, notes %v\n", r.ExitCode, r.List.Notes)
	if err := r.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestConfined captures in root's directory the same as root, as root of a container
// without a capability, also under Docker's filter, and as nobody, who may not even make a user namespace.
func TestConfined(t *testing.T) {
	need.Root(t)
	need.Program(t, "setpriv")
	noCapabilities := []string{"--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"}
	want := ""
	for _, who := range []struct {
		name  string
		uid   int
		start []string
	}{
		{"root", 0, nil},
		{"container", 0, noCapabilities},
		{"docker", 0, append(slices.Clone(noCapabilities), "env", refusedVariable+"=1")},
		{"nobody", 65534, append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups"}, noCapabilities...)},
	} {
		t.Run(who.name, func(t *testing.T) {
			got := confined(t, who.uid, who.start, confinedBefore, confinedRun)
			if want == "" {
				want = got
			}
			if got != want || !strings.HasSuffix(got, "status 0, notes []\n") || strings.Count(got, "\n") < 12 {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// confined captures a script in a directory of root's, by the program that setpriv
// starts, and returns what confinedMain prints. The directory stays as it was.
func confined(t *testing.T, uid int, start []string, before, run string) string {
	t.Helper()
	dir := t.TempDir()
	setUp := exec.Command("sh", "-euc", `chmod 755 "${1%/*}" "$1"; mkdir "$1/live" "$1/staging"; chown "$2" "$1/staging"
		cp /proc/self/fd/3 "$1/self"; chmod 755 "$1/self"; cd "$1/live"; eval "$3"`, "sh", dir, fmt.Sprint(uid), before)
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	setUp.ExtraFiles = []*os.File{self}
	if out, err := setUp.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	picture := capturetest.Take(t, dir)
	cmd := exec.Command("setpriv", append(start, filepath.Join(dir, "self"))...)
	cmd.Env = append(os.Environ(), confinedVariable+"="+dir, scriptVariable+"="+run)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if after := capturetest.Take(t, dir); !maps.Equal(after, picture) {
		t.Errorf("touched:\n%v\nwas\n%v", after, picture)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(out), dir, ""), dir[1:], "")
}
