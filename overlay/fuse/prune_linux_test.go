package fuse

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestPrune looks at more files than a union is to remember, twice: they stay the same, and
// what is in use goes on.
func TestPrune(t *testing.T) {
	need.Root(t)
	defer func(n int) { maxObjects = n }(maxObjects)
	maxObjects = 200
	base := t.TempDir()
	sh := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script, "sh", base)
		cmd.Dir = "/" // who serves must not wait for the union, not even to start a command
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	sh(`cd "$1"; mkdir lower upper work merged; cd lower
		for d in $(seq 15); do mkdir $d; (cd $d; seq 200 | xargs touch); done; echo kept >1/kept; ln 1/kept 2/link`)

	// What a server's process is like.
	t.Chdir("/proc/self/fd")
	defer unix.Umask(unix.Umask(0))
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, map[bool]int{true: os.O_RDWR, false: os.O_RDONLY}[name == "/dev/fuse"], 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	dev, on := open("/dev/fuse"), filepath.Join(base, "merged")
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("union", on, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	u, err := newUnion(dev, UnionOptions{
		Lowers: []*os.File{open(filepath.Join(base, "lower"))},
		Upper:  open(filepath.Join(base, "upper")), Work: open(filepath.Join(base, "work")),
		Private: "trusted.overlay.",
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- u.serve() }()
	defer func() {
		if err := unix.Unmount(on, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	sh(`cd "$1/merged"; exec 3<1/kept; echo changed >3/3; cd 2
		look() { find "$1" -type d -printf '%i %p\n' -o -printf '%i %n %s %p\n' | sort >"$2"; }
		look "$1/merged" "$1/first"; look "$1/merged" "$1/second"; diff "$1/first" "$1/second"
		test "$(wc -l <"$1/first")" = 3018
		test "$(cat <&3)" = kept; test "$(cat link)" = kept; test "$(cat ../3/3)" = changed`)
	if !u.device.kernel.SupportsNotify(gofuse.NOTIFY_PRUNE) {
		t.Skip("Linux before 6.18 forgets when it is short of memory")
	}
	known := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.byID)
	}
	for since := time.Now(); known() > maxObjects+2*pruneAfter; time.Sleep(10 * time.Millisecond) {
		if time.Since(since) > 10*time.Second {
			t.Fatalf("%d objects are remembered", known())
		}
	}
}
