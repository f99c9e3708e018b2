package overlay

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A layout is decided from the mount table alone: the tables in testdata are
// those of machines that no test runs on.
func TestLayout(t *testing.T) {
	desktop := surveyOf(t, "desktop", "/", "run")
	desktop.disks = []string{"/dev/sda"}
	desktop.setMode("/etc/machine-id", unix.S_IFREG)
	desktop.setMode("/srv/api.sock", unix.S_IFSOCK)
	desktop.setMode("/srv/null", unix.S_IFCHR)
	desktop.setMode("/srv/disk", unix.S_IFBLK)
	desktop.fail("/home/ann/.remote", unix.EACCES)

	cleanRoom := surveyOf(t, "desktop", "/srv/clean", "run")
	cleanRoom.disks = desktop.disks

	container := surveyOf(t, "container", "/", "run", "var/run")
	for _, name := range []string{"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"} {
		container.setMode(name, unix.S_IFREG)
	}
	container.setMode("/dev/console", unix.S_IFCHR)
	container.setMode("/var/run/docker.sock", unix.S_IFSOCK)

	for _, test := range []struct {
		name   string
		survey *survey
		opt    choices
	}{
		{"desktop", desktop, choices{staging: "/var/tmp/stage"}},
		{"desktop-share-run", desktop, choices{shareRun: true, staging: "/run/stage"}},
		{"clean-room", cleanRoom, choices{staging: "/var/tmp/stage"}},
		{"container", container, choices{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkGolden(t, test.name+".layout", describe(test.survey.layout(test.opt)))
		})
	}
}

// surveyOf reads testdata/NAME.mountinfo. Every mount is a visible directory.
func surveyOf(t *testing.T, name, root string, runs ...string) *survey {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := mountinfo.GetMountsFromReader(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &survey{root: root, runs: runs}
	for _, info := range table {
		m := mountOf(info)
		m.mode = unix.S_IFDIR
		s.mounts = append(s.mounts, m)
	}
	return s
}

func (s *survey) find(point string) *mount {
	for i := range s.mounts {
		if s.mounts[i].point == point {
			return &s.mounts[i]
		}
	}
	panic("no mount on " + point)
}

func (s *survey) setMode(point string, mode uint32) { s.find(point).mode = mode }
func (s *survey) fail(point string, err error)      { s.find(point).err = err }

// describe writes a layout down, a site a line, then the notes.
func describe(sites []site, notes []plist.Note) string {
	var b strings.Builder
	for _, s := range sites {
		fmt.Fprintf(&b, "%-9s %q %q %s", s.how, s.path, s.from, s.fstype)
		for _, word := range attrWords {
			if s.attr&word.attr != 0 {
				b.WriteString(" " + word.name)
			}
		}
		if s.twin != "" {
			fmt.Fprintf(&b, " = %q in %q", s.twin, s.twinIn)
		}
		b.WriteString("\n")
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "# %s: %s\n", n.Kind, n.Text)
	}
	return b.String()
}

var attrWords = []struct {
	name string
	attr uint64
}{
	{"ro", unix.MOUNT_ATTR_RDONLY},
	{"nosuid", unix.MOUNT_ATTR_NOSUID},
	{"nodev", unix.MOUNT_ATTR_NODEV},
	{"noexec", unix.MOUNT_ATTR_NOEXEC},
	{"noatime", unix.MOUNT_ATTR_NOATIME},
	{"strictatime", unix.MOUNT_ATTR_STRICTATIME},
	{"nodiratime", unix.MOUNT_ATTR_NODIRATIME},
	{"nosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW},
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
