package unpack

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A cell of the conflict matrix: a package, made by an installation over a base,
// meets a root that is not that base.
type cell struct {
	name    string
	base    string // script that makes what the installation began with
	install string // the installation
	there   string // script that makes the root, after base
	policy  Policy

	refused string // what the refusal says; then nothing was written
	then    string // script that is true of the root afterwards
	removed string // ... and after removal
}

var cells = []cell{
	{name: "file over nothing", install: "echo x > f", then: "[ $(cat f) = x ]", removed: "[ ! -e f ]"},
	{
		name: "into directories that are not there", base: "mkdir -p a/b", install: "echo x > a/b/f", there: "rm -r a",
		then: "[ $(cat a/b/f) = x ]", removed: "[ ! -e a ]",
	},
	{
		name: "file over an identical one", install: "echo x > f; touch -d 2001-01-01 f", there: "echo x > f; touch -d 2002-02-02 f",
		then: "[ $(date -r f +%Y) = 2002 ]", removed: "[ $(cat f) = x ]",
	},
	{name: "file over a different one", install: "echo x > f", there: "echo mine > f", refused: "/f: is there already, is different"},
	{name: "file over one with another mode", install: "echo x > f", there: "echo x > f; chmod 600 f", refused: "/f: is there already, is different"},
	{
		name: "file over a different one, saved", install: "echo x > f", there: "echo mine > f; chmod 640 f", policy: Policy{Save: true},
		then: "[ $(cat f) = x ]", removed: "[ $(cat f) = mine ]; [ $(stat -c %a f) = 640 ]",
	},
	{
		name: "file over a different one, which stays", install: "echo x > f; echo y > g", there: "echo mine > f", policy: Policy{KeepMine: true},
		then: "[ $(cat f) = mine ]; [ $(cat g) = y ]", removed: "[ $(cat f) = mine ]; [ ! -e g ]",
	},
	{name: "file over a directory", install: "echo x > f", there: "mkdir f; echo mine > f/mine", policy: Policy{Save: true}, refused: "/f: is a directory that holds mine"},
	{
		name: "file over an empty directory", install: "echo x > f", there: "mkdir f", policy: Policy{Save: true},
		then: "[ $(cat f) = x ]", removed: "[ -d f ]",
	},
	{name: "directory over a file", install: "mkdir f; echo x > f/x", there: "echo mine > f", refused: "/f: is there already"},
	{
		name: "directory over a file, saved", install: "mkdir f; echo x > f/x", there: "echo mine > f", policy: Policy{Save: true},
		then: "[ $(cat f/x) = x ]", removed: "[ $(cat f) = mine ]",
	},
	{name: "below a file", base: "mkdir d", install: "echo x > d/x", there: "rmdir d; echo mine > d", refused: "/d/x: is below /d, which is no directory"},
	{
		name: "shared directory", install: "mkdir d; echo x > d/x", there: "mkdir -m 700 d; echo mine > d/mine",
		then: "[ $(cat d/x) = x ]; [ $(stat -c %a d) = 700 ]", removed: "[ ! -e d/x ]; [ $(cat d/mine) = mine ]; [ $(stat -c %a d) = 700 ]",
	},
	{
		name: "directory over a symlink to one", install: "mkdir d; echo x > d/x", there: "mkdir real; ln -s real d",
		then: "[ -L d ]; [ $(cat real/x) = x ]", removed: "[ -L d ]; [ ! -e real/x ]; [ -d real ]",
	},
	{
		name: "through an absolute symlink inside the root", base: "mkdir -p usr/lib lib", install: "echo x > lib/x", there: "rmdir lib; ln -s /usr/lib lib",
		then: "[ $(cat usr/lib/x) = x ]", removed: "[ ! -e usr/lib/x ]; [ -L lib ]",
	},
	{name: "directory over a symlink to nothing", install: "mkdir d; echo x > d/x", there: "ln -s nowhere d", refused: "/d: is a symlink to no directory"},
	{name: "two names of one place", base: "mkdir -p lib usr/lib", install: "echo x > lib/x; echo y > usr/lib/x", there: "rmdir lib; ln -s usr/lib lib", refused: "is the same place as"},
	{name: "symlink over a symlink", install: "ln -s a l", there: "ln -s b l", refused: "/l: is there already"},
	{name: "deletion of what is not there", base: "echo x > f", install: "rm f; echo y > g", there: "rm f", then: "[ ! -e f ]", removed: "[ ! -e f ]; [ ! -e g ]"},
	{name: "deletion", base: "echo x > f", install: "rm f", then: "[ ! -e f ]", removed: "[ $(cat f) = x ]"},
	{name: "deletion of another kind of file", base: "echo x > f", install: "rm f", there: "rm f; mkdir f", refused: "/f: is another kind of file"},
	{
		name: "deletion of a directory with something in it", base: "mkdir d; echo x > d/x", install: "rm -r d", there: "echo mine > d/mine",
		then: "[ ! -e d/x ]; [ $(cat d/mine) = mine ]", removed: "[ $(cat d/x) = x ]; [ $(cat d/mine) = mine ]",
	},
	{
		name: "mode of a file with other content", base: "echo x > f", install: "chmod 700 f", there: "echo mine > f",
		then: "[ $(cat f) = mine ]; [ $(stat -c %a f) = 700 ]", removed: "[ $(cat f) = mine ]; [ $(stat -c %a f) = 644 ]",
	},
	{name: "mode of a file that is not there", base: "echo x > f", install: "chmod 700 f", there: "rm f", refused: "/f: is not there"},
	{name: "another name of a file with other content", base: "echo x > f", install: "ln f g", there: "echo mine > f", refused: "/f: is not the file"},
	{name: "another name", base: "echo x > f", install: "ln f g", then: "[ f -ef g ]", removed: "[ ! -e g ]; [ $(stat -c %h f) = 1 ]"},
	{
		name: "edit of a file", base: "echo x > f", install: "echo y > f", there: "chmod 600 f",
		then: "[ $(cat f) = y ]; [ $(stat -c %a f) = 644 ]", removed: "[ $(cat f) = x ]; [ $(stat -c %a f) = 600 ]",
	},
	{name: "edit of another file", base: "echo x > f", install: "echo y > f", there: "echo mine > f", refused: "/f: is edited by the package, in lines that are others here"},
	{
		name: "edit of another file, saved", base: "echo x > f", install: "echo y > f", there: "echo mine > f", policy: Policy{Save: true},
		then: "[ $(cat f) = y ]", removed: "[ $(cat f) = mine ]",
	},
	{
		name: "edit of another file, which stays", base: "echo x > f", install: "echo y > f; echo g > g", there: "echo mine > f", policy: Policy{KeepMine: true},
		then: "[ $(cat f) = mine ]; [ -e g ]", removed: "[ $(cat f) = mine ]",
	},
	{
		name: "edit of other lines", base: "printf '%s\n' a b c > f; chmod 640 f", install: "sed -i 's/^c/C/' f; chmod 644 f", there: "sed -i 's/^a/mine/' f; chmod 600 f",
		then: "[ $(tr '\n' , < f) = mine,b,C, ]; [ $(stat -c %a f) = 644 ]", removed: "[ $(tr '\n' , < f) = mine,b,c, ]; [ $(stat -c %a f) = 600 ]",
	},
	{
		name: "edit that is made already", base: "printf '%s\n' a b c > f", install: "sed -i 's/^c/C/' f", there: "sed -i 's/^a/mine/; s/^c/C/' f",
		then: "[ $(tr '\n' , < f) = mine,b,C, ]", removed: "[ $(tr '\n' , < f) = mine,b,C, ]",
	},
	{
		name: "edit, others changed since", base: "printf '%s\n' a b c > f", install: "echo d >> f", then: "sed -i 's/^a/mine/' f",
		removed: "[ $(tr '\n' , < f) = mine,b,c, ]",
	},
	{
		name: "edit of other lines, others changed since", base: "printf '%s\n' a b c d e > f", install: "sed -i 's/^c/C/' f", there: "sed -i 's/^a/mine/' f", then: "sed -i 's/^e/later/' f",
		removed: "[ $(tr '\n' , < f) = mine,b,c,d,later, ]",
	},
	{
		name: "edit that was changed since", base: "printf '%s\n' a b c > f", install: "sed -i 's/^b/B/' f", then: "[ $(sed -n 2p f) = B ]; sed -i 's/^B/mine/' f",
		refused: "/f: was edited by the package, and modified since in the same lines", removed: ":",
	},
	{name: "edit of what is no text", base: "printf 'x\\000' > f", install: "printf 'y\\000' > f", there: "printf 'z\\000' > f", refused: "/f: is edited by the package, and is not what the installation met"},
	{
		name: "edit of a symlink", base: "ln -s a l", install: "ln -sfn b l",
		then: "[ $(readlink l) = b ]", removed: "[ $(readlink l) = a ]",
	},
	{name: "edit of another symlink", base: "ln -s a l", install: "ln -sfn b l", there: "ln -sfn mine l", refused: "/l: is edited by the package, and is not what the installation met"},
	{name: "edit of a file in the place of a symlink", base: "ln -s a l", install: "ln -sfn b l", there: "rm l; printf a > l", refused: "/l: is edited by the package"},
	{
		name: "another kind of file", base: "echo x > f; mkdir d; ln -s x l", install: "rm f; mkdir f; rmdir d; echo y > d; rm l; echo l > l",
		then: "[ -d f ]; [ $(cat d) = y ]; [ -f l ]", removed: "[ $(cat f) = x ]; [ -d d ]; [ $(readlink l) = x ]",
	},
	{name: "another kind of another file", base: "echo x > f", install: "rm f; ln -s y f", there: "echo mine > f", refused: "/f: is edited by the package, and is not what the installation met"},
	{name: "deletion of another file", base: "echo x > f", install: "rm f", there: "echo mine > f", refused: "/f: is deleted by the package, and is not what the installation deleted"},
	{name: "deletion of another symlink", base: "ln -s x l", install: "rm l", there: "ln -sfn mine l", refused: "/l: is deleted by the package, and is not what"},
	{
		name: "deletion of another file, saved", base: "echo x > f", install: "rm f", there: "echo mine > f", policy: Policy{Save: true},
		then: "[ ! -e f ]", removed: "[ $(cat f) = mine ]",
	},
	{
		name: "deletion of another file, which stays", base: "echo x > f", install: "rm f; echo g > g", there: "echo mine > f", policy: Policy{KeepMine: true},
		then: "[ $(cat f) = mine ]", removed: "[ $(cat f) = mine ]; [ ! -e g ]",
	},
	{
		name: "modified after unpacking", install: "echo x > f; echo g > g", then: "echo mine > f",
		removed: "[ ! -e f ]; [ ! -e g ]; grep -rqx mine var/lib/sandbox-install/kept",
	},
	{name: "configuration modified after unpacking", install: "mkdir etc; echo x > etc/f; echo g > g", then: "echo mine > etc/f", removed: "[ $(cat etc/f) = mine ]; [ ! -e g ]"},
	{name: "own state", install: "mkdir -p var/lib/sandbox-install; echo x > var/lib/sandbox-install/x", refused: "a place of sandbox-install's own"},
	{name: "own temporary names", install: "echo x > .sandbox-install-1-0", refused: "a place of sandbox-install's own"},
	{name: "taken temporary name", install: "echo x > f", there: "echo mine > .sandbox-install-1-0", refused: "temporary name is taken"},
	{name: "made after unpacking", install: "mkdir d; echo x > d/x", then: "echo mine > d/mine", removed: "[ ! -e d/x ]; [ $(cat d/mine) = mine ]"},
	{name: "deleted after unpacking", install: "echo x > f; echo g > g", then: "rm f", removed: "[ ! -e f ]; [ ! -e g ]"},
}

func TestMatrix(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

func (c *cell) test(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir before root; cd before; "+c.base)
	sh(t, dir, "cp -a before after; cp -aT before root; cd after; "+c.install)
	sh(t, dir+"/root", ":; "+c.there)
	pkg := makePackage(t, dir+"/before", dir+"/after", "1")
	was := sh(t, dir, "find root -printf '%p %y %i %m %T+\n' | sort")
	r := open(t, dir+"/root")
	_, err := unpackFile(r, pkg, c.policy)
	if c.refused != "" && c.removed == "" {
		expectRefusal(t, err, c.refused)
		if now := sh(t, dir, "find root -printf '%p %y %i %m %T+\n' | sort"); now != was {
			t.Errorf("something was written:\n%s", diff(was, now))
		}
		return
	}
	check(t, err)
	sh(t, dir+"/root", c.then)
	_, err = r.Remove("thing", Policy{})
	if c.refused != "" {
		expectRefusal(t, err, c.refused)
		return
	}
	check(t, err)
	sh(t, dir+"/root", c.removed)
}

func expectRefusal(t *testing.T, err error, want string) {
	t.Helper()
	var refused Refused
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v\nwant a refusal with %q", err, want)
	}
}

// TestOutside: no symlink of the root leads out of it, nor does one that somebody
// else has made lead anywhere.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir before root outside; mkdir -p before/d/e before/x; cp -a before after; echo x > after/d/e/f; echo y > after/x/y")
	pkg := makePackage(t, dir+"/before", dir+"/after", "1")
	sh(t, dir+"/root", "ln -s ../../../../../../.."+dir+"/outside d; mkdir x")
	r := open(t, dir+"/root")
	_, err := unpackFile(r, pkg, Policy{})
	check(t, err)
	sh(t, dir, "[ -z \"$(ls outside)\" ]; [ $(cat root"+dir+"/outside/e/f) = x ]")
	_, err = r.Remove("thing", Policy{})
	check(t, err)

	if os.Geteuid() == 0 {
		sh(t, dir, "rm -r root; mkdir root root/real; ln -s real root/d; chown -h 12345 root/d; mkdir root/x")
		_, err = unpackFile(open(t, dir+"/root"), pkg, Policy{})
		expectRefusal(t, err, "a symlink of user 12345")
	}
}

// TestTwo: packages share directories and nothing else.
func TestTwo(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir before root; cp -a before one; cp -a before two; mkdir one/d two/d; echo 1 > one/d/1; echo 2 > two/d/2")
	pkg := map[string]Package{}
	for _, name := range []string{"one", "two"} {
		p, f, err := readPackage(makePackage(t, dir+"/before", dir+"/"+name, "1"))
		check(t, err)
		defer f.Close() //nolint:errcheck // only read
		p.List.Name = name
		pkg[name] = p
	}
	r := open(t, dir+"/root")
	for _, name := range []string{"one", "two"} {
		_, err := r.Unpack(pkg[name], Policy{})
		check(t, err)
	}
	names, err := r.Owners("d")
	check(t, err)
	if strings.Join(names, " ") != "one two" {
		t.Errorf("owners of the shared directory: %v", names)
	}
	thief := pkg["two"]
	thief.List.Name = "thief"
	_, err = r.Unpack(thief, Policy{Save: true})
	expectRefusal(t, err, "/d/2: belongs to package two")
	_, err = r.Remove("one", Policy{})
	check(t, err)
	sh(t, dir+"/root", "[ ! -e d/1 ]; [ -e d/2 ]")
	_, err = r.Remove("two", Policy{})
	check(t, err)
	sh(t, dir+"/root", "[ ! -e d ]")
	if _, err := r.Remove("two", Policy{}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("remove what is not installed: %v", err)
	}
}

// TestReplacedParents: directories that only one version had to make go with the
// package all the same.
func TestReplacedParents(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir -p before/a/b root/var/lib; for v in 1 2; do cp -a before v$v; echo $v > v$v/a/b/f; done")
	r := open(t, dir+"/root")
	was := picture(t, dir+"/root")
	for _, v := range []string{"1", "2"} {
		_, err := unpackFile(r, makePackage(t, dir+"/before", dir+"/v"+v, v), Policy{})
		check(t, err)
	}
	_, err := r.Remove("thing", Policy{})
	check(t, err)
	expect(t, dir+"/root", was)
}

// TestBusy: two writers do not meet.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	lock, err := r.lock()
	check(t, err)
	if _, err := open(t, dir).lock(); !errors.Is(err, ErrBusy) {
		t.Errorf("second lock: %v", err)
	}
	check(t, lock.Close())
}

// TestDevices: a device node needs a word.
func TestDevices(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	sh(t, dir, "mkdir before after root; mknod after/null c 1 3")
	pkg := makePackage(t, dir+"/before", dir+"/after", "1")
	r := open(t, dir+"/root")
	_, err := unpackFile(r, pkg, Policy{})
	expectRefusal(t, err, "/null: is a device node")
	_, err = unpackFile(r, pkg, devices)
	check(t, err)
	sh(t, dir+"/root", "[ -c null ]")
}

// TestImmutable: a file that can not be renamed is found before anything is done.
func TestImmutable(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	sh(t, dir, "mkdir before; echo x > before/f; cp -a before after; cp -a before root; echo y > after/f")
	pkg := makePackage(t, dir+"/before", dir+"/after", "1")
	sh(t, dir, "chattr +i root/f")
	defer sh(t, dir, "chattr -i root/f")
	_, err := unpackFile(open(t, dir+"/root"), pkg, Policy{})
	expectRefusal(t, err, "/f: is immutable")
}

// TestFalseContent: bytes that are not those of the list are never put in place.
func TestFalseContent(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, "mkdir before after root; echo right > after/f; echo first > after/a")
	name := makePackage(t, dir+"/before", dir+"/after", "1")
	sh(t, dir, "sed -i s/right/wrong/ '"+name+"'; mkdir root/var root/var/lib")
	was := picture(t, dir+"/root")
	r := open(t, dir+"/root")
	_, err := unpackFile(r, name, Policy{})
	if err == nil || !strings.Contains(err.Error(), "not the one in the packing list") {
		t.Errorf("error %v", err)
	}
	expect(t, dir+"/root", was)
	if pending, err := r.Pending(); pending || err != nil {
		t.Errorf("pending %v, %v", pending, err)
	}
}

// TestAsUser: an ordinary user gets the superuser's files as his own.
func TestAsUser(t *testing.T) {
	if os.Geteuid() == 0 {
		need.Lacks(t, "user", "run by root")
	}
	dir := t.TempDir()
	sh(t, dir, "mkdir before root; mkdir after; echo x > after/f; chmod 4755 after/f")
	pkg, f, err := readPackage(makePackage(t, dir+"/before", dir+"/after", "1"))
	check(t, err)
	defer f.Close() //nolint:errcheck // only read
	e := pkg.List.Find("f")
	e.UID, e.GID, e.Xattrs = 0, 0, map[string]string{"security.capability": "x"}
	r := open(t, dir+"/root")
	done, err := r.Unpack(Package{pkg.List, plist.DirTree{Root: must(os.OpenRoot(dir + "/after"))}}, Policy{})
	check(t, err)
	if want := "is not set-id"; !strings.Contains(strings.Join(done.Notes, "\n"), want) {
		t.Errorf("notes %q, want one with %q", done.Notes, want)
	}
	sh(t, dir+"/root", "[ $(stat -c %a:%u f) = 755:$(id -u) ]; [ -z \"$(getfattr -d -m - f)\" ]")
	_, err = r.Remove("thing", Policy{})
	check(t, err)
	sh(t, dir+"/root", "[ ! -e f ]")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestLabels: the SELinux labels of a package and of the root are the machine's. What
// takes a place has the label of that place, and undoing brings the file back with its
// own; none is a change.
func TestLabels(t *testing.T) {
	need.Root(t)
	v := newVersions(t, "echo x > f; ln -s x l; setfattr -n security.selinux -v theirs f; setfattr -h -n security.selinux -v theirs l")
	pkg := v.pkg("thing", "1", "echo y > f; ln -sfn y l; echo g > g; setfattr -n security.selinux -v captured f g")
	v.sh("for n in f l; do setfattr -h -n security.selinux -v here $n; done")
	clean := picture(t, v.dir+"/root")
	v.unpack(pkg, Policy{})
	v.sh(`for n in f l; do [ "$(getfattr -h --only-values -n security.selinux $n)" = here ]; done; ! getfattr --only-values -n security.selinux g 2>/dev/null; [ $(cat f) = y ]`)
	rec, err := v.r.Package("thing")
	check(t, err)
	found, err := v.r.Check(rec)
	check(t, err)
	if faults := Faults(found); len(faults) != 0 {
		t.Errorf("faults %+v", faults)
	}
	_, err = v.r.Undo(0, Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
}

// TestRunning: a program that runs is replaced, goes on, and comes back.
func TestRunning(t *testing.T) {
	sleep := need.Program(t, "sleep")
	v := newVersions(t, "cp '"+sleep+"' prog")
	pkg := v.pkg("thing", "1", "rm prog; printf '#!/bin/sh\n' > prog; chmod 755 prog")
	cmd := exec.Command(v.dir+"/root/prog", "60")
	check(t, cmd.Start())
	was := picture(t, v.dir+"/root")
	v.unpack(pkg, Policy{})
	v.sh("head -n 1 prog | grep -q sh")
	check(t, cmd.Process.Signal(syscall.Signal(0)))
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", was)
	check(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the program ended: %v", err)
	}
}
