package fuse

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"
)

// A union is judged by the scenes of package overlay, too.

// mounted mounts a union of a lower directory and returns where.
func mounted(t *testing.T, lower string) (dir, upper string, s *Server) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	base := t.TempDir()
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
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
	dir = filepath.Join(base, "merged")
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("union", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	upper = filepath.Join(base, "upper")
	err = s.Add(dev, UnionOptions{
		Lowers: []*os.File{open(lower, os.O_RDONLY)}, Upper: open(upper, os.O_RDONLY), Work: open(filepath.Join(base, "work"), os.O_RDONLY),
		Private: "trusted.overlay.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, upper, s
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
	dir, _, _ := mounted(t, lower)
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
	dir, _, _ := mounted(t, lower)
	for name, test := range posixtest.All {
		if name == "FcntlFlockLocksFile" { // one process' locks do not exclude each other: its own suite leaves it out
			continue
		}
		t.Run(name, func(t *testing.T) { test(t, filepath.Join(dir, name)) })
	}
}
