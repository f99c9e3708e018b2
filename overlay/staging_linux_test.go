package overlay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// A staging directory is removed by the next run when its own is dead, and only
// then.
func TestSweep(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	stage := func() *staging {
		s, err := stageIn(dir, flavour{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	alive, dead := stage(), stage()
	dead.dir.Close() // and its lock with it
	next := stage()
	for path, there := range map[string]bool{alive.path: true, dead.path: false, next.path: true} {
		if _, err := os.Lstat(path); (err == nil) != there {
			t.Errorf("%s is there: %v, want %v", path, err == nil, there)
		}
	}
	for _, s := range []*staging{alive, next} {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	}
}

// The directory that held a staging directory has its old times again, unless
// something else was made there meanwhile.
func TestParentTimes(t *testing.T) {
	need.Root(t)
	for _, other := range []bool{false, true} {
		dir := t.TempDir()
		old := time.Unix(1_000_000_000, 7)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		s, err := stageIn(dir, flavour{})
		if err != nil {
			t.Fatal(err)
		}
		if other {
			writeFile(t, dir+"/other", "", 0o600)
		}
		if err := s.remove(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "old time", info.ModTime().Equal(old), !other)
	}
}

// Where nothing on disk can hold an upper, memory does.
func TestStageInMemory(t *testing.T) {
	need.Root(t)
	s, err := stageInMemory(flavour{})
	if err != nil {
		need.Lacks(t, "overlay", err) // before Linux 6.15
	}
	room, err := s.room("upper", "work", "lower")
	if err != nil {
		t.Fatal(err)
	}
	defer room.close()
	m, err := mountOverlay([]string{room.path("lower")}, room, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := s.remove(); err != nil {
		t.Error(err)
	}
}

// A staging area that the user names is that one or none.
func TestRefusedStaging(t *testing.T) {
	s := newScene(t, "true")
	s.cmd.Staging = "/proc"
	_, err := s.try(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/proc") {
		t.Errorf("got %v, want an error that names /proc", err)
	}
}

// Any name will do for a staging area.
func TestOddStaging(t *testing.T) {
	s := newScene(t, script("echo new > new")...)
	s.staging = filepath.Join(s.staging, "a:b,c=d \\ e\nf")
	if err := os.Mkdir(s.staging, 0o700); err != nil {
		t.Fatal(err)
	}
	s.cmd.Staging = s.staging
	want(t, "changes", changes(s.run().List, s.dir), []string{"A new"})
}

// Inside, the staging area is covered: nothing reads or removes layers in use.
func TestHiddenStaging(t *testing.T) {
	s := newScene(t)
	s.cmd.Args = script(`cd ` + s.staging + `; test "$(stat -c %a .sand*)" = 0; test -z "$(ls -A .sand*)"; ! rm -rf .sand* 2>/dev/null`)
	want(t, "status", s.run().ExitCode, 0)
	want(t, "output", s.out.String(), "")
}

// An error holds what the kernel says of it, if only in its log.
func TestKernelSentence(t *testing.T) {
	need.Root(t)
	staging, err := stageIn(t.TempDir(), flavour{})
	if err != nil {
		need.Lacks(t, "overlay", err)
	}
	r := &rig{root: "/", staging: staging}
	err = r.tryOverlay(site{path: "x", from: "/proc"})
	if err == nil || !strings.Contains(err.Error(), "maximum fs stacking depth exceeded") {
		t.Errorf("got %v", err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}

// A user is told that writes are kept in memory, and of a staging area without room.
func TestRoom(t *testing.T) {
	need.Root(t)
	memory, err := stageInMemory(flavour{})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.remove() //nolint:errcheck // nothing is left of it
	disk, err := newStaging(t.TempDir(), flavour{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.remove() //nolint:errcheck // in the test's directory
	mnt, err := newMount(fsContext{fstype: "tmpfs", options: []string{"size=64k"}})
	if err != nil {
		t.Fatal(err)
	}
	small := &staging{tmpfs: mnt}
	if small.dir, err = os.Open(procFD(mnt)); err != nil {
		t.Fatal(err)
	}
	defer small.remove() //nolint:errcheck // nothing is left of it
	for _, c := range []struct {
		got, want string
	}{
		{memory.inMemory(), "in memory, where there is room for "},
		{disk.inMemory(), ""},
		{memory.full(), ""},
		{disk.full(), ""},
		{small.full(), "no room left in memory"},
	} {
		if !strings.Contains(c.got, c.want) || c.want == "" && c.got != "" {
			t.Errorf("said %q, want %q", c.got, c.want)
		}
	}
}
