package unpack

import (
	"testing"
)

var devices = Policy{Devices: true}

// TestLaws: a package over a copy of the base is what the installation made of it;
// removal, replacement and undoing bring back what was there.
func TestLaws(t *testing.T) {
	s := newScene(t, t.TempDir())
	dir := s.fresh(t, s.old)
	r := open(t, dir)
	unpack := func(name string) {
		t.Helper()
		_, err := unpackFile(r, name, devices)
		check(t, err)
	}
	undo := func(n int) {
		t.Helper()
		_, err := r.Undo(n, Policy{})
		check(t, err)
	}
	remove := func() {
		t.Helper()
		_, err := r.Remove("thing", Policy{})
		check(t, err)
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"unpack 1", func() { unpack(s.pkg1) }, s.one},
		{"remove 1", remove, s.old},
		{"undo the removal", func() { undo(0) }, s.one},
		{"undo the unpacking", func() { undo(0) }, s.old},
		{"undo that", func() { undo(4) }, s.one},
		{"replace", func() { unpack(s.pkg2) }, s.two},
		{"the same again", func() { unpack(s.pkg2) }, s.two},
		{"undo nothing", func() { undo(0) }, s.two},
		{"undo the replacement", func() { undo(0) }, s.one},
		{"redo it", func() { undo(9) }, s.two},
		{"remove 2", remove, s.old},
	} {
		step.do()
		if t.Failed() {
			t.Fatal(step.name)
		}
		expect(t, dir, s.pictures[step.want])
		if t.Failed() {
			t.Fatal(step.name)
		}
	}
}
