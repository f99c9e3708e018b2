package unpack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/tarball"
)

const accountsBase = `mkdir etc
	printf '%s\n' root:x:0:0:root:/root:/bin/sh other:x:1:1::/:/bin/sh > etc/passwd
	printf '%s\n' root:x:0: other:x:1: > etc/group
	echo 'root:*:19000:0:99999:7:::' > etc/shadow; chmod 640 etc/passwd`

var accounts = []plist.Account{
	{Kind: plist.AccountGroup, Line: "daemon:77:"},
	{Kind: plist.AccountUser, Line: "daemon:77:77:a daemon:/var:/bin/false"},
}

// TestAccounts: users and groups come as lines of their files, and go as lines.
func TestAccounts(t *testing.T) {
	v := newVersions(t, accountsBase)
	clean := picture(t, v.dir+"/root")
	v.r.now = time.Now
	pkg := v.pkg("thing", "1", "echo x > f")
	pkg.List.Accounts = accounts
	v.unpack(pkg, Policy{})
	v.sh(`[ "$(tail -n 1 etc/passwd)" = 'daemon:x:77:77:a daemon:/var:/bin/false' ]; [ "$(tail -n 1 etc/group)" = daemon:x:77: ]
		[ "$(tail -n 1 etc/shadow)" = 'daemon:!:::::::' ]; [ $(stat -c %a etc/passwd) = 640 ]; [ ! -e etc/gshadow ]`)
	one := picture(t, v.dir+"/root")

	// The same accounts again are no change; others after them are left alone.
	again := v.pkg("thing", "2", "echo y > f")
	again.List.Accounts = accounts
	if done := v.unpack(again, Policy{}); len(done.Edits) != 0 {
		t.Errorf("edits %v", done.Edits)
	}
	_, err := v.r.Undo(0, Policy{})
	check(t, err)
	expect(t, v.dir+"/root", one)
	v.sh("echo later:x:5:5::/:/bin/sh >> etc/passwd")
	_, err = v.r.Undo(1, Policy{})
	check(t, err)
	v.sh("[ ! -e f ]; [ $(grep -c . etc/passwd) = 3 ]; tail -n 1 etc/passwd | grep -q later; ! grep -q daemon etc/*")
	_, err = v.r.Undo(lastNumber(t, v.r), Policy{})
	check(t, err)
	v.sh("grep -q daemon etc/passwd; grep -q later etc/passwd")

	// A version without them takes its lines away, and so does removal.
	none := v.pkg("thing", "3", "echo z > f")
	none.List.Accounts = nil
	v.unpack(none, Policy{})
	v.sh("! grep -q daemon etc/*")
	_, err = v.r.Undo(0, Policy{})
	check(t, err)
	v.sh("sed -i /later/d etc/passwd; chmod 640 etc/passwd")
	_, err = v.r.Remove("thing", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
}

// TestAccountsThere: who is there already under another number owns the files;
// whose number is taken can not be made.
func TestAccountsThere(t *testing.T) {
	need.Root(t)
	v := newVersions(t, accountsBase)
	pkg := v.pkg("thing", "1", "echo x > f; chown 77:77 f")
	pkg.List.Accounts = accounts
	v.sh("echo daemon:x:88: >> etc/group; echo daemon:x:99:88::/:/bin/sh >> etc/passwd")
	was := sh(t, v.dir, "sha256sum root/etc/*")
	v.unpack(pkg, Policy{})
	v.sh("[ $(stat -c %u:%g f) = 99:88 ]")
	if now := sh(t, v.dir, "sha256sum root/etc/*"); now != was {
		t.Errorf("edited:\n%s", diff(was, now))
	}
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("sed -i /daemon/d etc/passwd; echo squatter:x:77:77::/:/bin/sh >> etc/passwd")
	_, err = v.r.Unpack(pkg, Policy{})
	expectRefusal(t, err, "user daemon of the package is number 77, which is squatter here")
}

func FuzzEdit(f *testing.F) {
	f.Add("a\nb\n", "c")
	f.Add("a\nb", "b")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, text, line string) {
		if strings.Contains(line, "\n") || text != "" && !strings.HasSuffix(text, "\n") {
			return
		}
		add := Edit{Line: line}
		back := inverse([]Edit{add})[0]
		edited, changed := add.edit(text)
		if !changed && edited != text {
			t.Errorf("%q: changed in silence to %q", text, edited)
		}
		if again, twice := add.edit(edited); twice && line != "" || twice && again == edited {
			t.Errorf("%q: added twice: %q", edited, again)
		}
		if changed {
			if undone, _ := back.edit(edited); undone != text {
				t.Errorf("%q, %q: undone it is %q", text, line, undone)
			}
		}
	})
}

// TestDLLs: of DLLs too, in any case of letters, imported by name or by ordinal alone.
func TestDLLs(t *testing.T) {
	cc := need.Program(t, "mingw", "x86_64-w64-mingw32-gcc")
	dlltool := need.Program(t, "mingw", "x86_64-w64-mingw32-dlltool")
	v := newVersions(t, "mkdir lib")
	sh(t, v.dir, `echo 'int f(void) { return 1; }' > f.c; echo 'int f(void); int main(void) { return f(); }' > main.c
		printf 'LIBRARY ordinal.dll\nEXPORTS\nf @1 NONAME\n' > ordinal.def; printf 'LIBRARY named.dll\nEXPORTS\nf\n' > named.def
		for n in ordinal named; do
			`+cc+` -shared -o $n.dll f.c $n.def; `+dlltool+` -d $n.def -l lib$n.a; `+cc+` -o $n.exe main.c lib$n.a
		done`)
	v.unpack(v.pkg("lib", "1", "cp "+v.dir+"/ordinal.dll lib/Ordinal.dll; cp "+v.dir+"/named.dll lib/NAMED.DLL; echo x > lib/other.dll"), Policy{})
	v.unpack(v.pkg("prog", "1", "cp "+v.dir+"/*.exe lib"), Policy{})

	two := v.pkg("lib", "2", "echo x > lib/new.dll")
	done := v.unpack(two, Policy{})
	if notes := strings.Join(done.Notes, "\n"); notes != "/lib/NAMED.DLL: goes, and /lib/named.exe of package prog needs it\n"+
		"/lib/Ordinal.dll: goes, and /lib/ordinal.exe of package prog needs it" {
		t.Errorf("notes %q", notes)
	}
	_, err := v.r.Undo(0, Policy{})
	check(t, err)
	v.unpack(two, Policy{KeepLibs: true})
	v.sh("[ -e lib/Ordinal.dll ]; [ -e lib/NAMED.DLL ]; [ ! -e lib/other.dll ]")
}

// TestLibraries: who needs a library that goes is told, or it stays for them.
func TestLibraries(t *testing.T) {
	cc := need.Program(t, "cc", "cc", "gcc")
	v := newVersions(t, "mkdir -p usr/lib usr/bin")
	sh(t, v.dir, `echo 'int f(void) { return 1; }' > lib.c; echo 'int f(void); int main(void) { return f(); }' > main.c
		for n in 1 2; do `+cc+` -shared -nostdlib -o $n.so -Wl,-soname,libf.so.$n lib.c; done
		`+cc+` -nostdlib -nostartfiles -Wl,-e,main -o main main.c 1.so`)
	lib := func(n, real string) string {
		return "cp " + v.dir + "/" + n + ".so usr/lib/" + real + "; ln -s " + real + " usr/lib/libf.so." + n
	}
	v.unpack(v.pkg("lib", "1", lib("1", "libf.so.1.0")), Policy{})
	v.unpack(v.pkg("prog", "1", "cp "+v.dir+"/main usr/bin/main"), Policy{})
	was := picture(t, v.dir+"/root")

	done := v.unpack(v.pkg("lib", "1.1", lib("1", "libf.so.1.1")), Policy{}) // the same soname
	if notes := strings.Join(done.Notes, "\n"); notes != "" {
		t.Errorf("notes %q", notes)
	}
	two := v.pkg("lib", "2", lib("2", "libf.so.2.0"))
	const goes = "/usr/lib/libf.so.1: goes, and /usr/bin/main of package prog needs it"
	done = v.unpack(two, Policy{})
	if notes := strings.Join(done.Notes, "\n"); notes != goes {
		t.Errorf("notes %q", notes)
	}
	v.sh("[ ! -e usr/lib/libf.so.1 ]")
	_, err := v.r.Undo(0, Policy{})
	check(t, err)
	done = v.unpack(two, Policy{KeepLibs: true})
	if notes := strings.Join(done.Notes, "\n"); notes != "/usr/lib/libf.so.1: is kept for package prog\n/usr/lib/libf.so.1.1: is kept for package prog" {
		t.Errorf("notes %q", notes)
	}
	v.sh("[ -e usr/lib/libf.so.1 ]; [ -e usr/lib/libf.so.1.1 ]; [ -e usr/lib/libf.so.2 ]")
	v.unpack(two, Policy{KeepLibs: true}) // it is kept once more
	v.sh("[ -e usr/lib/libf.so.1 ]; [ -e usr/lib/libf.so.1.1 ]")
	plan, err := v.r.PlanRemove("lib", Policy{})
	check(t, err)
	if notes := strings.Join(plan.Notes, "\n"); notes != goes {
		t.Errorf("notes %q", notes)
	}
	_, err = v.r.Remove("prog", Policy{})
	check(t, err)
	v.unpack(two, Policy{KeepLibs: true}) // nobody needs it
	v.sh("[ ! -e usr/lib/libf.so.1 ]; [ ! -e usr/lib/libf.so.1.1 ]")

	steps, err := v.r.PlanRollback(2)
	check(t, err)
	for _, n := range steps {
		_, err := v.r.Undo(n, Policy{})
		check(t, err)
	}
	expect(t, v.dir+"/root", was)
	if steps, err = v.r.PlanRollback(2); err != nil || len(steps) != 0 {
		t.Errorf("after the rollback: %v, %v", steps, err)
	}
	if bad, err := v.r.VerifyHistory(); bad != 0 || err != nil {
		t.Errorf("history: %d, %v", bad, err)
	}
	v.sh("sed -i s/lib/bil/ var/lib/sandbox-install/history/3/before.plist")
	if bad, err := v.r.VerifyHistory(); bad != 3 || err != nil {
		t.Errorf("falsified history: %d, %v", bad, err)
	}
}

// TestRegen: an installed package is made again, byte for byte.
func TestRegen(t *testing.T) {
	s := newScene(t, t.TempDir())
	dir := s.fresh(t, s.old)
	r := open(t, dir)
	_, err := unpackFile(r, s.pkg1, devices)
	check(t, err)
	regen := func() string {
		t.Helper()
		pkg, err := r.Regen("thing")
		check(t, err)
		name := filepath.Join(t.TempDir(), "again.tar")
		f, err := os.Create(name)
		check(t, err)
		check(t, tarball.Write(f, pkg.List, pkg.Tree, tarball.Options{Compression: tarball.None}))
		check(t, f.Close())
		return name
	}
	sh(t, dir, "cmp '"+regen()+"' '"+s.pkg1+"'")
	sh(t, dir, "chmod 600 usr/bin/changed; echo mine > etc/app.conf; echo mine >> usr/bin/changed")
	sh(t, dir, "cmp '"+regen()+"' '"+s.pkg1+"'")
	sh(t, dir, "echo mine > usr/lib/libnew.so; rm new/sparse")
	_, err = r.Regen("thing")
	expectRefusal(t, err, "/usr/lib/libnew.so: was modified")
	expectRefusal(t, err, "/new/sparse: is not there")
}

// TestPrune: what no removal needs goes, and only that.
func TestPrune(t *testing.T) {
	s := newScene(t, t.TempDir())
	dir := s.fresh(t, s.old)
	r := open(t, dir)
	for _, pkg := range []string{s.pkg1, s.pkg2} {
		_, err := unpackFile(r, pkg, devices)
		check(t, err)
	}
	for _, keep := range []Retention{{Transactions: 2}, {Age: time.Hour}} {
		if pruned, err := r.Prune(keep); err != nil || len(pruned) != 0 {
			t.Errorf("%+v: pruned %v, %v", keep, pruned, err)
		}
	}
	pruned, err := r.Prune(Retention{})
	check(t, err)
	if len(pruned) == 0 {
		t.Error("pruned nothing")
	}
	_, err = r.Undo(2, Policy{})
	expectRefusal(t, err, "what was there before is not kept any more")
	expect(t, dir, s.pictures[s.two])
	_, err = r.Remove("thing", Policy{})
	check(t, err)
	expect(t, dir, s.pictures[s.old])
}

// TestPruneCutsOff: a transaction that displaced nothing can not be undone any more when
// what the old version of its package displaced is gone, and is told.
func TestPruneCutsOff(t *testing.T) {
	v := newVersions(t, "echo old > f")
	v.unpack(v.pkg("thing", "1", "rm f"), Policy{Save: true})
	v.sh("echo mine > f") // so the removal has nothing to do
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	pruned, err := v.r.Prune(Retention{})
	check(t, err)
	if !slices.Equal(pruned, []int{1, 2}) {
		t.Errorf("pruned %v", pruned)
	}
	_, err = v.r.Undo(2, Policy{Save: true})
	expectRefusal(t, err, "is not kept any more")
}

// TestShells: login shells come and go as lines; where there is no list of them one is
// made, and goes when it is empty again.
func TestShells(t *testing.T) {
	for _, base := range []string{"mkdir etc; printf '# shells\n/bin/sh\n' > etc/shells; chmod 640 etc/shells", "mkdir etc"} {
		v := newVersions(t, base)
		clean := picture(t, v.dir+"/root")
		shell := func(version, script string, names ...string) Package {
			pkg := v.pkg("thing", version, script)
			for _, n := range names {
				pkg.List.Accounts = append(pkg.List.Accounts, plist.Account{Kind: plist.AccountShell, Line: n})
			}
			return pkg
		}
		v.unpack(shell("1", "echo 1 > f", "/bin/rc", "/usr/bin/rc"), Policy{})
		v.sh("tail -n 2 etc/shells | tr '\n' ' ' | grep -qx '/bin/rc /usr/bin/rc '")
		one := picture(t, v.dir+"/root")
		v.unpack(shell("2", "echo 2 > f", "/bin/rc"), Policy{})
		v.sh("grep -qx /bin/rc etc/shells; ! grep -q /usr/bin/rc etc/shells")
		_, err := v.r.Undo(0, Policy{})
		check(t, err)
		expect(t, v.dir+"/root", one)
		_, err = v.r.Remove("thing", Policy{})
		check(t, err)
		expect(t, v.dir+"/root", clean)

		// What others have put there stays.
		_, err = v.r.Undo(0, Policy{})
		check(t, err)
		expect(t, v.dir+"/root", one)
		v.sh("sed -i '1i /bin/mine' etc/shells")
		_, err = v.r.Remove("thing", Policy{})
		check(t, err)
		v.sh("grep -qx /bin/mine etc/shells; ! grep -q rc etc/shells")
		v.sh("echo /bin/rc >> etc/shells")
		v.unpack(shell("1", "echo 1 > f", "/bin/rc"), Policy{})
		_, err = v.r.Remove("thing", Policy{})
		check(t, err)
		v.sh("grep -qx /bin/rc etc/shells")
	}
}

const infoBaseIs = `[ "$(cat info/dir)" = "$(printf 'A dir\n\n* Menu:\n\nArchiving\n* Tar: (tar).  T.\n\nTexts\n* Sed: (sed).  S.\n')" ]; [ $(stat -c %a info/dir) = 600 ]`

const infoBase = `mkdir info; printf 'A dir\n\n* Menu:\n\nArchiving\n* Tar: (tar).  T.\n\nTexts\n* Sed: (sed).  S.\n' > info/dir; chmod 600 info/dir`

// TestInfo: entries of an Info directory come into their sections, whatever else is
// there, and go; the headings with them.
func TestInfo(t *testing.T) {
	info := []plist.InfoEntry{
		{Dir: "info/dir", Section: "Archiving", Text: "* Zip: (zip).  Z.", After: "* Tar: (tar).  T."},
		{Dir: "info/dir", Section: "New", Text: "* New: (new).  N.\n     more", After: "New"},
		{Dir: "info/dir", Section: "New", Text: "* Other: (new)o.  N.", After: "     more"},
	}
	v := newVersions(t, infoBase)
	pkg := v.pkg("thing", "1", "echo x > info/f")
	pkg.List.Info = info
	v.unpack(pkg, Policy{})
	v.sh(`[ "$(cat info/dir)" = "$(printf 'A dir\n\n* Menu:\n\nArchiving\n* Tar: (tar).  T.\n* Zip: (zip).  Z.\n\nNew\n* New: (new).  N.\n     more\n* Other: (new)o.  N.\n\nTexts\n* Sed: (sed).  S.\n')" ]`)
	v.sh("sed -i '/Sed/i * Awk: (awk).  A.' info/dir")
	_, err := v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("grep -q Awk info/dir; sed -i /Awk/d info/dir; chmod 600 info/dir; " + infoBaseIs)
	v2 := sh(t, v.dir, "cat root/info/dir")

	// An entry that leads there too gives way, and comes back.
	v.sh("sed -i 's/^[*] Tar.*/&\\n* Zip: (zip).  Older./' info/dir")
	v.unpack(pkg, Policy{})
	v.sh("[ $(grep -c Zip info/dir) = 1 ]; grep -q 'Z[.]' info/dir")
	next := v.pkg("thing", "2", "echo y > info/f")
	next.List.Info = info[:1]
	v.unpack(next, Policy{})
	v.sh("[ $(grep -c Zip info/dir) = 1 ]; ! grep -q New info/dir")
	_, err = v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("[ $(grep -c Zip info/dir) = 1 ]; grep -q Older info/dir; sed -i /Older/d info/dir")
	if now := sh(t, v.dir, "cat root/info/dir"); now != v2 {
		t.Errorf("left:\n%s", diff(v2, now))
	}

	// Without a directory one is made if the installation made it, and goes again.
	v.sh("rm info/dir")
	clean := picture(t, v.dir+"/root")
	if done := v.unpack(pkg, Policy{}); !strings.Contains(strings.Join(done.Notes, "\n"), "has no entry") {
		t.Errorf("notes %q", done.Notes)
	}
	_, err = v.r.Remove("thing", Policy{})
	check(t, err)
	pkg.List.Info = append([]plist.InfoEntry{{Dir: "info/dir", Text: "A dir\n\n* Menu:\n", Preamble: true}}, info...)
	v.unpack(pkg, Policy{})
	v.sh("head -n 1 info/dir | grep -qx 'A dir'; grep -q Zip info/dir")
	_, err = v.r.Remove("thing", Policy{})
	check(t, err)
	expect(t, v.dir+"/root", clean)
	v.unpack(pkg, Policy{})
	v.sh("echo '* Mine: (mine).  M.' >> info/dir")
	_, err = v.r.Remove("thing", Policy{})
	check(t, err)
	v.sh("grep -q Mine info/dir; grep -q 'A dir' info/dir; ! grep -q Zip info/dir")
}
