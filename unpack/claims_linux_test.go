package unpack

import "testing"

// TestClaimsMeet: between two packages that have a directory, one goes that had a file
// there. The two share the directory then, which goes with the last of them.
func TestClaimsMeet(t *testing.T) {
	v := newVersions(t, "")
	clean := picture(t, v.dir+"/root")
	take := Policy{Take: []string{"d"}}
	v.unpack(v.pkg("first", "1", "mkdir d"), Policy{})
	v.unpack(v.pkg("second", "1", "echo 2 > d"), take)
	v.unpack(v.pkg("third", "1", "mkdir d; echo 3 > d/f"), take)
	for _, name := range []string{"second", "first", "third"} {
		_, err := v.r.Remove(name, Policy{})
		check(t, err)
	}
	expect(t, v.dir+"/root", clean)
}

// TestUndoShared: who made a shared directory has gone, and the installation of who shared
// it is undone. Nobody has the directory then.
func TestUndoShared(t *testing.T) {
	v := newVersions(t, "")
	clean := picture(t, v.dir+"/root")
	v.unpack(v.pkg("first", "1", "mkdir d"), Policy{})
	v.unpack(v.pkg("second", "1", "mkdir d; echo 2 > d/f"), Policy{})
	_, err := v.r.Remove("first", Policy{})
	check(t, err)
	_, err = v.r.Undo(2, Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
	_, err = v.r.Undo(4, Policy{})
	check(t, err)
	v.sh("[ $(cat d/f) = 2 ]")
	_, err = v.r.Remove("second", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
}
