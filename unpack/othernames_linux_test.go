package unpack

import (
	"slices"
	"strings"
	"testing"
)

// TestOtherNames: a displaced file that has a name elsewhere. That stays as after the
// installation itself, and what is kept does not change with it.
func TestOtherNames(t *testing.T) {
	v := newVersions(t, "mkdir d; echo x > d/a; ln d/a b; ln d/a d/c; mkfifo p; ln p q")
	pkg := v.pkg("thing", "1", "rm d/a q; echo y > d/a; echo q > q")
	done := v.unpack(pkg, Policy{Save: true})
	expect(t, v.dir+"/root", picture(t, v.dir+"/thing1"))
	if !slices.ContainsFunc(done.Notes, func(n string) bool { return strings.HasPrefix(n, "/d/a: has other names") }) {
		t.Errorf("notes: %q", done.Notes)
	}
	sh(t, v.dir+"/root", "echo mine >> b")
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	sh(t, v.dir+"/root", "[ \"$(cat d/a)\" = x ]; grep -q mine b; [ b -ef d/c ]; [ -p q ]; [ $(stat -c %h b) = 2 ]")
}

// TestOtherNamesKeep: a package gives other attributes to files that have names which it does
// not know, whether it has one name of them or several. Those names keep theirs, through
// another version too; and so does a file with a name like that of a copy.
func TestOtherNamesKeep(t *testing.T) {
	v := newVersions(t, "umask 022; echo x > a; echo y > b")
	v.sh("ln a out; ln b b.out; echo mine > b-copy")
	others := func() {
		t.Helper()
		v.sh("[ $(stat -c %a%h out) = 6441 ]; [ $(stat -c %a%h b.out) = 6441 ]; [ $(cat b-copy) = mine ]")
	}
	v.unpack(v.pkg("thing", "1", "chmod 600 a b; ln a more"), Policy{})
	v.sh("[ $(stat -c %a%h more) = 6002 ]; [ a -ef more ]; [ $(stat -c %a%h b) = 6001 ]")
	others()
	v.unpack(v.pkg("thing", "2", "chmod 640 b; echo z > a; rm -f more"), Policy{})
	others()
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("[ $(stat -c %a a b | uniq) = 644 ]; [ $(cat a b | tr -d '\n') = xy ]; [ ! -e more ]")
	others()
}
