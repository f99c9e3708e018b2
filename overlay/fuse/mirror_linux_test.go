package fuse

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The mirror as a whole is judged by the scenes of package overlay.

// TestAttributeNames shows attributes under names that an overlay gives back as they
// were.
func TestAttributeNames(t *testing.T) {
	for name, want := range map[string]string{
		"user.x":                  "user.x",
		"user.overlay.opaque":     "user.overlay.overlay.opaque",
		"user.overlay.overlay.x":  "user.overlay.overlay.overlay.x",
		"security.capability":     "security.capability",
		"security.selinux":        "",
		"trusted.overlay.opaque":  "",
		"system.posix_acl_access": "system.posix_acl_access",
	} {
		got := inside(name)
		if got != want {
			t.Errorf("%s is shown as %q, want %q", name, got, want)
		}
		if got != "" && outside(got) != name {
			t.Errorf("%s is read as %q", got, outside(got))
		}
	}
	if outside("user.overlay.opaque") != "" {
		t.Error("an overlay would take the attribute of another for its own")
	}
}

// TestACL hides a list with an id that the namespace lacks.
func TestACL(t *testing.T) {
	m := &Mirror{opt: Options{HasUID: func(id uint32) bool { return id < 10 }, HasGID: func(id uint32) bool { return id < 20 }}}
	entry := func(tag, id byte) []byte { return []byte{tag, 0, 7, 0, id, 0, 0, 0} }
	head := []byte{2, 0, 0, 0}
	for _, c := range []struct {
		entry []byte
		want  bool
	}{
		{entry(0x02, 9), true},
		{entry(0x02, 10), false},
		{entry(0x08, 10), true},
		{entry(0x08, 20), false},
		{entry(0x01, 255), true}, // the owner's entry has no id of its own
	} {
		if got := m.hasAll(append(head[:4:4], c.entry...)); got != c.want {
			t.Errorf("%v: %v, want %v", c.entry, got, c.want)
		}
	}
}

// TestDirs reaches directories that are no longer open, below a path longer than
// PATH_MAX, and leaves no descriptor behind.
func TestDirs(t *testing.T) {
	var d dirs
	before := descriptors(t)
	fd, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	root := &node{}
	d.keep(root, fd)
	depth := 2 * maxOpen
	chain := []*node{root}
	for i := range depth {
		n := &node{parent: chain[i], name: fmt.Sprintf("directory %d", i)}
		if err := d.use(n.parent, func(fd int) error { return unix.Mkdirat(fd, n.name, 0o755) }); err != nil {
			t.Fatal(err)
		}
		chain = append(chain, n)
	}
	for _, i := range []int{depth, 1, depth - 1, maxOpen} {
		var got, want unix.Stat_t
		err := d.use(chain[i], func(fd int) error { return unix.Fstat(fd, &got) })
		if err == nil {
			err = d.use(chain[i-1], func(fd int) error { return unix.Fstatat(fd, chain[i].name, &want, 0) })
		}
		if err != nil || got.Ino != want.Ino {
			t.Errorf("%d deep: inode %d, want %d: %v", i, got.Ino, want.Ino, err)
		}
	}
	d.forget(chain[depth])
	if n := d.order.Len(); n > maxOpen {
		t.Errorf("%d directories are open", n)
	}
	d.close()
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are open, and were %d", now, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, name := range names {
		if _, err := os.Readlink(name); err == nil { // not the one of Glob itself
			open++
		}
	}
	return open
}
