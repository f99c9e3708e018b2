package unpack

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestBase: packages of a layer below own what they have there, and are only read.
func TestBase(t *testing.T) {
	v := newVersions(t, "")
	v.unpack(v.pkg("lower", "1", "mkdir bin; echo lower > bin/x"), Policy{})
	sh(t, v.dir, "cp -aT root/var/lib/sandbox-install state; rm -r root/var/lib/sandbox-install")
	state := sh(t, v.dir, "find state -printf '%p %T+ %s\n' | sort")
	was := picture(t, v.dir+"/root")
	r, err := Open(v.dir+"/root", Options{Base: []string{v.dir + "/state"}})
	check(t, err)
	defer func() { check(t, r.Close()) }()

	upper := v.pkg("upper", "1", "mkdir bin; echo upper > bin/x; echo y > bin/y")
	_, err = r.Unpack(upper, Policy{})
	expectRefusal(t, err, "/bin/x: belongs to package lower of "+v.dir+"/state")
	_, err = r.Unpack(upper, Policy{Take: []string{"bin/x"}})
	check(t, err)
	for path, want := range map[string]string{"bin": "lower upper", "bin/x": "upper", "bin/y": "upper", "bin/z": ""} {
		names, err := r.Owners(path)
		check(t, err)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("owners of %s: %q, want %q", path, got, want)
		}
	}
	all, err := r.Packages()
	check(t, err)
	if len(all) != 2 {
		t.Errorf("%d packages, want two", len(all))
	}
	if _, err := r.Remove("lower", Policy{}); err == nil {
		t.Error("removed a package of the base")
	}
	_, err = r.Remove("upper", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", was)
	if now := sh(t, v.dir, "find state -printf '%p %T+ %s\n' | sort"); now != state {
		t.Errorf("the base was changed:\n%s", diff(state, now))
	}
	if _, err := Open(v.dir+"/root", Options{Base: []string{v.dir}}); err == nil {
		t.Error("took any directory for a base")
	}
}

// TestRegistry: with the index, without it, with an old or a damaged one, the owners
// are the same.
func TestRegistry(t *testing.T) {
	v := newVersions(t, "")
	for n := range 5 {
		v.unpack(v.pkg(fmt.Sprint("p", n), "1", fmt.Sprintf("mkdir d; echo %d > d/%d", n, n)), Policy{})
	}
	index := v.dir + "/root/var/lib/sandbox-install/index"
	owners := func() string {
		t.Helper()
		var all []string
		for _, path := range []string{"d", "d/0", "d/1", "d/4", "d/5", "e"} {
			names, err := v.r.Owners(path)
			check(t, err)
			all = append(all, fmt.Sprint(path, names))
		}
		return strings.Join(all, " ")
	}
	const want = "d[p0 p1 p2 p3 p4] d/0[p0] d/1[p1] d/4[p4] d/5[] e[]"
	whole, err := os.ReadFile(index)
	check(t, err)
	try := func(what, want string) {
		t.Helper()
		if got := owners(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	try("index", want)
	damaged := append([]byte{}, whole...)
	damaged[indexBody+20] ^= 1
	for _, data := range [][]byte{damaged, whole[:len(whole)-1], {}, nil} {
		check(t, os.WriteFile(index, data, 0o600))
		try("damaged index", want)
	}
	check(t, os.Remove(index))
	try("no index", want)

	check(t, os.WriteFile(index, whole, 0o600))
	v.r.indexAfter = 100
	_, err = v.r.Remove("p1", Policy{})
	check(t, err)
	v.unpack(v.pkg("p4", "2", "mkdir d; echo 5 > d/5"), Policy{})
	const later = "d[p0 p2 p3 p4] d/0[p0] d/1[] d/4[] d/5[p4] e[]"
	try("old index", later)
	v.r.indexAfter = 0
	_, err = v.r.Remove("p2", Policy{})
	check(t, err)
	try("new index", strings.Replace(later, " p2", "", 1))
	if now, err := os.ReadFile(index); err != nil || string(now) == string(whole) {
		t.Errorf("the index was not written again: %v", err)
	}
}
