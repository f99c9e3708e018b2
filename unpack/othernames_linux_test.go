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
