package fuse

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// A union is judged by the scenes of package overlay, too.

// layers are the directories of a union.
type layers struct {
	lowers      []string
	upper, work string
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
	s, err := StartServer()
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
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := layers{[]string{lower}, filepath.Join(base, "upper"), filepath.Join(base, "work")}
	on := filepath.Join(base, "merged")
	l.mount(t, on)
	return on
}

var (
	mountOn      = flag.String("mount", "", "a directory to mount a union on")
	mountOptions = flag.String("layers", "", "its layers, as mount(8) is told of those of an overlay: lowerdir=A:B,upperdir=C,workdir=D")
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
	s := l.mount(t, *mountOn)
	var st unix.Statfs_t
	for s.Err() == nil && unix.Statfs(*mountOn, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC {
		time.Sleep(10 * time.Millisecond)
	}
}

var judge = flag.String("judge", "", "a command for sh that judges its working directory, which is in a union")

var judged = flag.String("lower", "", "the lower directory for -judge; else an empty one")

// TestJudge has a command judge, such as a suite that is not kept here.
func TestJudge(t *testing.T) {
	if *judge == "" {
		t.Skip("no -judge was given")
	}
	lower := *judged
	if lower == "" {
		lower = t.TempDir()
	}
	dir := mounted(t, lower)
	cmd := exec.Command("sh", "-c", *judge)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// TestPosix has go-fuse's own suite judge a union: in a directory of lower, which is
// copied up for it.
func TestPosix(t *testing.T) {
	lower := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if err := os.Mkdir(filepath.Join(lower, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := mounted(t, lower)
	for name, test := range posixtest.All {
		if name == "FcntlFlockLocksFile" { // one process' locks do not exclude each other: its own suite leaves it out
			continue
		}
		t.Run(name, func(t *testing.T) { test(t, filepath.Join(dir, name)) })
	}
}
