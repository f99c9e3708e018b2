package unpack

import (
	"path/filepath"
	"strings"
	"testing"
)

// A replaceCell is what happens to a root that the user has changed, when the next
// version of a package comes.
type replaceCell struct {
	name     string
	base     string // script that makes what both installations begin with, and the root
	one, two string // the installations
	between  string // what the user does after the first
	policy   Policy // of the second

	refused string // what the refusal says; then the root is as before
	waits   string // paths that wait for being merged
	then    string // script that is true of the root afterwards
	removed string // ... and after removal; "" is: as before all of it
}

var replaceCells = []replaceCell{
	{name: "unmodified", one: "echo 1 > f", two: "echo 2 > f", then: "[ $(cat f) = 2 ]"},
	{
		name: "modified", one: "echo 1 > f", two: "echo 2 > f", between: "echo mine > f",
		then: "[ $(cat f) = 2 ]; grep -rqx mine var/lib/sandbox-install/kept",
	},
	{
		name: "modified, and stays", one: "echo 1 > f", two: "echo 2 > f", between: "echo mine > f", policy: Policy{KeepMine: true},
		then: "[ $(cat f) = mine ]", removed: "[ $(cat f) = mine ]",
	},
	{name: "mode modified", one: "echo 1 > f", two: "echo 2 > f", between: "chmod 700 f", then: "[ $(cat f) = 2 ]; [ $(stat -c %a f) = 644 ]"},
	{name: "deleted", one: "echo 1 > f", two: "echo 2 > f", between: "rm f", then: "[ $(cat f) = 2 ]"},
	{
		name: "another kind of file", one: "echo 1 > f", two: "echo 2 > f", between: "rm f; ln -s mine f",
		then: "[ $(cat f) = 2 ]; [ -n \"$(find var/lib/sandbox-install/kept -lname mine)\" ]",
	},
	{
		name: "a directory of the user's", one: "echo 1 > f", two: "echo 2 > f", between: "rm f; mkdir f; echo mine > f/mine",
		refused: "/f: is a directory that holds mine",
	},
	{name: "directory becomes file", one: "mkdir d; echo 1 > d/1", two: "echo 2 > d", then: "[ $(cat d) = 2 ]"},
	{
		name: "directory with a file of the user's becomes file", one: "mkdir d; echo 1 > d/1", two: "echo 2 > d", between: "echo mine > d/mine",
		refused: "/d: is a directory that holds mine",
	},
	{name: "file becomes directory", one: "echo 1 > d", two: "mkdir d; echo 2 > d/2", then: "[ $(cat d/2) = 2 ]"},
	{name: "vanishes", one: "echo 1 > f; echo g > g", two: "echo g > g", then: "[ ! -e f ]"},
	{
		name: "vanishes, modified", one: "echo 1 > f; echo g > g", two: "echo g > g", between: "echo mine > f",
		then: "[ ! -e f ]; grep -rqx mine var/lib/sandbox-install/kept",
	},

	// Configuration: O is what the old version packed, D on the disk, N new.
	{name: "D=O", one: "mkdir etc; echo 1 > etc/f", two: "mkdir etc; echo 2 > etc/f", then: "[ $(cat etc/f) = 2 ]"},
	{
		name: "N=O", one: "mkdir etc; echo 1 > etc/f; echo 1 > g", two: "mkdir etc; echo 1 > etc/f; echo 2 > g", between: "echo mine > etc/f",
		then: "[ $(cat etc/f) = mine ]; [ $(cat g) = 2 ]", removed: "[ $(cat etc/f) = mine ]; [ ! -e g ]",
	},
	{name: "D=N", one: "mkdir etc; echo 1 > etc/f", two: "mkdir etc; echo 2 > etc/f", between: "echo 2 > etc/f", then: "[ $(cat etc/f) = 2 ]"},
	{
		name: "D deleted", one: "mkdir etc; echo 1 > etc/f; echo 1 > g", two: "mkdir etc; echo 2 > etc/f; echo 2 > g", between: "rm etc/f",
		then: "[ ! -e etc/f ]; [ $(cat g) = 2 ]",
	},
	{name: "new", one: "echo 1 > g", two: "mkdir etc; echo 2 > etc/f", then: "[ $(cat etc/f) = 2 ]"},
	{
		name: "all differ", one: "mkdir etc; echo 1 > etc/f", two: "mkdir etc; echo 2 > etc/f", between: "echo mine > etc/f",
		waits: "etc/f", then: "[ $(cat etc/f) = mine ]", removed: "[ $(cat etc/f) = mine ]",
	},
	{
		name: "all differ, saved", one: "mkdir etc; echo 1 > etc/f", two: "mkdir etc; echo 2 > etc/f", between: "echo mine > etc/f", policy: Policy{Save: true},
		then: "[ $(cat etc/f) = 2 ]; grep -rqx mine var/lib/sandbox-install/kept",
	},
	{
		name: "configuration vanishes, modified", one: "mkdir etc; echo 1 > etc/f; echo g > g", two: "echo g > g", between: "echo mine > etc/f",
		then: "[ $(cat etc/f) = mine ]", removed: "[ $(cat etc/f) = mine ]",
	},
	{
		name: "mode of configuration modified", one: "mkdir etc; echo 1 > etc/f", two: "mkdir etc; echo 1 > etc/f; echo g > g", between: "chmod 600 etc/f",
		then: "[ $(stat -c %a etc/f) = 644 ]",
	},
	{
		name: "configuration by its name", one: "echo 1 > f.conf", two: "echo 2 > f.conf", between: "echo mine > f.conf",
		policy: Policy{Config: func(p string) bool { return strings.HasSuffix(p, ".conf") }}, waits: "f.conf",
		then: "[ $(cat f.conf) = mine ]", removed: "[ $(cat f.conf) = mine ]",
	},
}

func TestReplaceMatrix(t *testing.T) {
	for _, c := range replaceCells {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

func (c *replaceCell) test(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir before; cd before; "+c.base)
	sh(t, dir, "cp -a before root; mkdir -p root/var/lib; cp -a before v1; cp -a before v2; cd v1; "+c.one)
	sh(t, dir+"/v2", c.two)
	clean := picture(t, dir+"/root")
	r := open(t, dir+"/root")
	_, err := unpackFile(r, makePackage(t, dir+"/before", dir+"/v1", "1"), c.policy)
	check(t, err)
	sh(t, dir+"/root", ":; "+c.between)
	was := picture(t, dir+"/root")
	_, err = unpackFile(r, makePackage(t, dir+"/before", dir+"/v2", "2"), c.policy)
	if c.refused != "" {
		expectRefusal(t, err, c.refused)
		expect(t, dir+"/root", was)
		return
	}
	check(t, err)
	sh(t, dir+"/root", c.then)
	rec, err := r.Package("thing")
	check(t, err)
	var waits []string
	for _, m := range rec.Merges {
		waits = append(waits, m.Path)
	}
	if got := strings.Join(waits, " "); got != c.waits {
		t.Errorf("waiting for being merged: %q, want %q", got, c.waits)
	}

	// Undo and redo bring back what was there, whatever the user had made of it.
	now := picture(t, dir+"/root")
	for _, want := range []string{was, now} {
		_, err = r.Undo(lastNumber(t, r), Policy{})
		check(t, err)
		expect(t, dir+"/root", want)
	}
	_, err = r.Remove("thing", Policy{})
	check(t, err)
	if c.removed != "" {
		sh(t, dir+"/root", c.removed)
		return
	}
	expect(t, dir+"/root", clean)
}

func lastNumber(t *testing.T, r *Root) int {
	t.Helper()
	numbers, err := r.historyNumbers()
	check(t, err)
	return append([]int{0}, numbers...)[len(numbers)]
}

// A versions makes packages of one name.
type versions struct {
	t   *testing.T
	dir string
	r   *Root
}

// newVersions makes a root, of which all packages begin, by a script.
func newVersions(t *testing.T, base string) *versions {
	v := &versions{t: t, dir: t.TempDir()}
	sh(t, v.dir, "mkdir -p base/var/lib; cd base; "+base)
	sh(t, v.dir, "cp -a base root")
	v.r = open(t, v.dir+"/root")
	return v
}

// pkg is what an installation makes.
func (v *versions) pkg(name, version, install string) Package {
	v.t.Helper()
	after := filepath.Join(v.dir, name+version)
	sh(v.t, v.dir, "cp -a base '"+after+"'; cd '"+after+"'; "+install)
	pkg, f, err := readPackage(makePackage(v.t, v.dir+"/base", after, version))
	check(v.t, err)
	v.t.Cleanup(func() { check(v.t, f.Close()) })
	pkg.List.Name = name
	return pkg
}

func (v *versions) unpack(pkg Package, policy Policy) *Done {
	v.t.Helper()
	done, err := v.r.Unpack(pkg, policy)
	check(v.t, err)
	return done
}

func (v *versions) sh(script string) {
	v.t.Helper()
	sh(v.t, v.dir+"/root", script)
}

// TestTake: a file of another package changes hands, and comes back.
func TestTake(t *testing.T) {
	v := newVersions(t, "")
	clean := picture(t, v.dir+"/root")
	v.unpack(v.pkg("first", "1", "mkdir bin; echo first > bin/x; echo a > a"), Policy{})
	was := picture(t, v.dir+"/root")
	second := v.pkg("second", "1", "mkdir bin; echo second > bin/x; echo b > b")
	_, err := v.r.Unpack(second, Policy{Take: []string{"bin/y"}})
	expectRefusal(t, err, "/bin/x: belongs to package first")
	take := Policy{Take: []string{"bin/x"}}
	done := v.unpack(second, take)
	if notes := strings.Join(done.Notes, "\n"); !strings.Contains(notes, "/bin/x: is taken from package first") {
		t.Errorf("notes %q", notes)
	}
	v.sh("[ $(cat bin/x) = second ]")
	_, err = v.r.Unpack(v.pkg("first", "2", "mkdir bin; echo first2 > bin/x; echo a > a"), Policy{})
	expectRefusal(t, err, "/bin/x: belongs to package second")
	v.unpack(v.pkg("second", "2", "mkdir bin; echo second2 > bin/x"), Policy{}) // what it has taken it has
	v.sh("[ $(cat bin/x) = second2 ]")
	_, err = v.r.Remove("second", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", was)
	_, err = v.r.Undo(lastNumber(t, v.r), Policy{})
	check(t, err)
	v.sh("[ $(cat bin/x) = second2 ]")
	_, err = v.r.Remove("second", Policy{})
	check(t, err)
	_, err = v.r.Remove("first", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
}

// TestTakeBack: a file changes hands twice; its packages go in any order, and what was
// there before all comes back.
func TestTakeBack(t *testing.T) {
	v := newVersions(t, "echo base > x")
	clean := picture(t, v.dir+"/root")
	take := Policy{Take: []string{"x"}, Save: true}
	one, two := v.pkg("first", "1", "rm x; echo first > x"), v.pkg("first", "2", "rm x; echo first2 > x")
	second, third := v.pkg("second", "1", "rm x; echo second > x"), v.pkg("third", "1", "rm x")
	for back, order := range [][]string{{"first", "second", "third"}, {"second", "first", "third"}, {"third", "first", "second"}} {
		begin := lastNumber(t, v.r)
		var was string
		for i, pkg := range []Package{one, second, two, third} {
			v.unpack(pkg, take)
			if i == back {
				was = picture(t, v.dir+"/root")
			}
		}
		for _, name := range order {
			_, err := v.r.Remove(name, Policy{})
			check(t, err)
		}
		expect(t, v.dir+"/root", clean)
		for _, then := range []struct {
			to   int
			want string
		}{{begin + 1 + back, was}, {begin + 7, clean}} {
			numbers, err := v.r.PlanRollback(then.to)
			check(t, err)
			for _, n := range numbers {
				_, err := v.r.Undo(n, Policy{})
				check(t, err)
			}
			expect(t, v.dir+"/root", then.want)
		}
	}
}

// TestUndoOthers: what other packages came to since is not the user's, and gives way to
// no undo.
func TestUndoOthers(t *testing.T) {
	v := newVersions(t, "echo base > x")
	take := Policy{Take: []string{"x"}, Save: true}
	v.unpack(v.pkg("first", "1", "rm x; echo first > x"), take)
	_, err := v.r.Remove("first", Policy{})
	check(t, err)
	v.unpack(v.pkg("second", "1", "rm x; echo second > x; echo y > y"), take)
	was := picture(t, v.dir+"/root")
	for n := 1; n <= 2; n++ {
		_, err = v.r.Undo(n, Policy{Save: true})
		if n == 1 {
			expectRefusal(t, err, "package first is not as transaction 1 left it")
		} else {
			expectRefusal(t, err, "/x: is not as transaction 2 left it: package second has come, changed or gone since")
		}
		expect(t, v.dir+"/root", was)
	}
}

// TestMerges resolves what waits for being merged, in every way.
func TestMerges(t *testing.T) {
	const lines = "printf '%s\\n' a b c d e > etc/f"
	v := newVersions(t, "mkdir etc")
	v.unpack(v.pkg("thing", "1", lines), Policy{})
	v.sh("sed -i s/a/mine/ etc/f; chmod 600 etc/f")
	edited := picture(t, v.dir+"/root")
	v.unpack(v.pkg("thing", "2", lines+"; sed -i s/c/two/ etc/f"), Policy{})
	v.unpack(v.pkg("thing", "3", lines+"; sed -i s/e/three/ etc/f"), Policy{})
	expect(t, v.dir+"/root", edited)
	resolve := func(how Resolution) error {
		_, err := v.r.Config("thing", map[string]Resolution{"etc/f": how})
		return err
	}
	undo := func() {
		t.Helper()
		_, err := v.r.Undo(lastNumber(t, v.r), Policy{})
		check(t, err)
		expect(t, v.dir+"/root", edited)
	}
	check(t, resolve(ResolveMerge))
	v.sh("[ \"$(echo $(cat etc/f))\" = 'mine b c d three' ]; [ $(stat -c %a etc/f) = 600 ]")
	if rec, err := v.r.Package("thing"); err != nil || len(rec.Merges) > 0 {
		t.Errorf("still waiting: %v, %v", rec.Merges, err)
	}
	undo()
	check(t, resolve(ResolvePackage))
	v.sh("[ \"$(echo $(cat etc/f))\" = 'a b c d three' ]")
	undo()
	check(t, resolve(ResolveMine))
	undo()

	v.sh("echo else > etc/f")
	expectRefusal(t, resolve(ResolveMerge), "/etc/f: 1 places were changed in two ways")
	v.sh("rm etc/f")
	expectRefusal(t, resolve(ResolveMerge), "/etc/f: was deleted")
	check(t, resolve(ResolvePackage))
	v.sh("[ \"$(echo $(cat etc/f))\" = 'a b c d three' ]; [ $(stat -c %a etc/f) = 644 ]")
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("[ ! -e etc/f ]")
}
