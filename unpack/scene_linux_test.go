package unpack

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// sh runs a script in a directory.
func sh(t testing.TB, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%s\n%v", script, out, err)
	}
	return string(out)
}

// picture is what outside tools see of a root, without its state.
func picture(t testing.TB, dir string) string {
	t.Helper()
	return sh(t, dir, `
		list() { find . -path ./var/lib/sandbox-install -prune -o "$@"; }
		list -type d -printf '%p %M %U:%G\n' | sort
		list ! -type d -printf '%p %M %U:%G %n %s %T+ -> %l\n' | sort
		list \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} +
		list -type f -print0 | sort -z | xargs -0 -r sha256sum
		list -type f -links +1 -printf '%i %p\n' | sort -k 2 | awk '{ if (!($1 in n)) n[$1] = ++k; print "inode", n[$1], $2 }'
		list -print0 | sort -z | xargs -0 -r getfattr -h -d -m - -e hex | sed '/^trusted.SGI_ACL_/d' # how XFS shows ACLs besides
		list ! -type l -print0 | sort -z | xargs -0 -r getfacl -n
		list \( -type f -o -type d \) -print0 | sort -z | xargs -0 -r lsattr -d 2>/dev/null | awk '{ gsub("[-eI]", "", $1); print }'
	`)
}

// expect compares a root with a picture.
func expect(t testing.TB, dir, want string) {
	t.Helper()
	if got := picture(t, dir); got != want {
		t.Errorf("%s is not as it should be:\n%s", dir, diff(want, got))
	}
}

// diff lists the lines that only one text has.
func diff(want, got string) string {
	lines := func(s string) map[string]bool {
		set := make(map[string]bool)
		for line := range strings.Lines(s) {
			set[line] = true
		}
		return set
	}
	var b strings.Builder
	w, g := lines(want), lines(got)
	for _, l := range slices.Sorted(maps.Keys(w)) {
		if !g[l] {
			b.WriteString("-" + l)
		}
	}
	for _, l := range slices.Sorted(maps.Keys(g)) {
		if !w[l] {
			b.WriteString("+" + l)
		}
	}
	return b.String()
}

// makePackage writes the tarball of what leads from one directory to another.
func makePackage(t testing.TB, before, after, version string) string {
	t.Helper()
	b, a := snapshotOf(t, before), snapshotOf(t, after)
	l := &plist.List{Name: "thing", Version: version, Prefix: "/"}
	grown := make(map[string]bool) // files with a name that is new
	for old, now := range pairs(b, a) {
		if old == nil && linkable(now) {
			grown[bodyOf(now)] = true
		}
	}
	for old, now := range pairs(b, a) {
		switch {
		case now != nil && now.Path == "etc/group": // is shared: see sceneAccounts
		case old == nil:
			l.Entries = append(l.Entries, *now)
		case now == nil:
			l.Entries = append(l.Entries, plist.Entry{Op: plist.OpDelete, Path: old.Path, Mode: old.Mode.Type()})
		default:
			e := *now
			e.Op, e.Changed = plist.OpModify, capture.Difference(old, now)
			if e.Changed == 0 && linkable(now) && grown[bodyOf(now)] {
				e.Changed = plist.ChangedLinks
			}
			if e.Changed != 0 {
				l.Entries = append(l.Entries, e)
			}
		}
	}
	l = subset(l, func(*plist.Entry) bool { return true })
	l.Name, l.Version, l.Prefix = "thing", version, "/"
	if a.Find("etc/group") != nil {
		l.Accounts = sceneAccounts
	}
	root, err := os.OpenRoot(after)
	check(t, err)
	was, err := os.OpenRoot(before)
	check(t, err)
	check(t, capture.RecordWas(t.Context(), l, plist.DirTree{Root: root}, was))
	check(t, was.Close())
	name := filepath.Join(t.TempDir(), version+".tar")
	f, err := os.Create(name)
	check(t, err)
	check(t, tarball.Write(f, l, plist.DirTree{Root: root}, tarball.Options{Compression: tarball.None}))
	check(t, f.Close())
	check(t, root.Close())
	return name
}

func snapshotOf(t testing.TB, dir string) *plist.List {
	t.Helper()
	r := open(t, dir)
	l, err := r.sys.snapshot(".", ".", andHash)
	check(t, err)
	return l
}

func open(t testing.TB, dir string) *Root {
	t.Helper()
	r, err := Open(dir, Options{})
	check(t, err)
	r.now = func() time.Time { return sceneTime }
	r.indexAfter = 0 // write it each time
	t.Cleanup(func() { check(t, r.Close()) })
	return r
}

// readPackage opens a tarball.
func readPackage(name string) (Package, io.Closer, error) {
	f, err := os.Open(name)
	if err != nil {
		return Package{}, nil, err
	}
	rd, err := tarball.NewReader(f)
	if err != nil {
		return Package{}, nil, err
	}
	return Package{rd.List(), rd}, f, nil
}

func unpackFile(r *Root, name string, policy Policy) (*Done, error) {
	pkg, f, err := readPackage(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return r.Unpack(pkg, policy)
}

// sceneAccounts is what every scene's installation adds to etc/group, at sceneTime.
var (
	sceneAccounts = []plist.Account{{Kind: plist.AccountGroup, Line: "things:4242:"}}
	sceneTime     = time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
)

// base is a root with all kinds of files, as a script makes it.
const base = `
	mkdir -p usr/bin usr/lib etc gone/deep d2f full var/lib
	echo root:x:0: > etc/group
	ln -s usr/lib lib
	echo old > usr/bin/changed; echo same > usr/bin/same; echo gone > usr/bin/gone
	echo a > gone/a; echo b > gone/deep/b; ln gone/a gone/deep/a2; ln -s nowhere gone/deep/l
	echo f > f2d; echo x > d2f/x; ln -s usr l2d; echo l > f2l; ln -s one retarget
	echo mode > modeonly; echo owner > owneronly; echo time > timeonly; echo attr > attronly
	echo pair > pair1; ln pair1 pair2
	echo linked > linked
	echo split > zlinked
	head -c 100000 /dev/zero > usr/lib/zeros
	mkfifo fifo
	find . -exec touch -h -d '2001-02-03 04:05:06.789' {} +
`

// installation changes the base in every way. "$v" is the version.
const installation = `
	echo "new $v" > usr/bin/changed; rm usr/bin/gone; rm -r gone
	rm f2d; mkdir -m 750 f2d; echo in > f2d/in
	rm -r d2f; echo "was a dir" > d2f
	rm l2d; mkdir l2d; echo y > l2d/y
	rm f2l; ln -s changed f2l; ln -sfn "two $v" retarget
	chmod 4710 modeonly; touch -d '2011-01-01 01:01:01.5' timeonly; setfattr -n user.note -v "v $v" attronly
	echo "pair $v" > pair1
	ln linked alink; ln linked zlink
	ln zlinked aa-first
	mkdir -p new/deep/er; echo "n $v" > new/n; echo "lib $v" > usr/lib/libnew.so; ln new/n new/deep/n2; ln new/n usr/bin/n3
	truncate -s 40000 new/sparse; printf x | dd of=new/sparse bs=1 seek=20000 conv=notrunc status=none
	printf "conf\n\n$v\n" > etc/app.conf
	echo things:x:4242: >> etc/group; touch -d '2020-02-02 02:02:02' etc/group
	mkfifo -m 640 new/fifo; : > new/empty; printf '' > "$(printf 'new/nasty\nname\377')"
	setfattr -n user.dir -v x new/deep; chmod 1777 full; chmod 2755 new
	if [ "$v" = 2 ]; then echo two > only2; else echo one > only1; mkdir dir1; echo o > dir1/o; fi
	touch -d '1969-12-31 23:59:58.25' new/empty
`

// installationAsRoot does what only the superuser can.
const installationAsRoot = `
	chown 12:34 owneronly; setfacl -m u:77:r,g:88:rw attronly; setfacl -d -m u:77:rx new/deep
	echo cap > usr/bin/cap; setcap cap_net_raw+ep usr/bin/cap; chown 5:6 new/n
	setfattr -n trusted.t -v 1 new/n; setfattr -h -n trusted.l -v 1 f2l; mknod -m 600 new/null c 1 3
	chattr +d usr/lib/libnew.so; chown -h 7:8 retarget
`

// A scene is a root before and after two versions were installed natively, and
// their packages.
type scene struct {
	dir        string
	old        string            // the root before
	one, two   string            // the root after each
	pkg1, pkg2 string            // tarballs
	pictures   map[string]string // of old, one, two
}

func newScene(t testing.TB, dir string) *scene {
	t.Helper()
	s := &scene{dir: dir, old: dir + "/old", one: dir + "/one", two: dir + "/two"}
	script := installation
	if os.Geteuid() == 0 {
		script += installationAsRoot
	}
	sh(t, dir, "mkdir old; cd old\n"+base)
	sh(t, dir, "cp -a old one; cp -a old two")
	sh(t, s.one, "v=1\n"+script)
	sh(t, s.two, "v=2\n"+script)
	s.pkg1 = makePackage(t, s.old, s.one, "1")
	s.pkg2 = makePackage(t, s.old, s.two, "2")
	s.pictures = make(map[string]string)
	for _, name := range []string{s.old, s.one, s.two} {
		s.pictures[name] = picture(t, name)
	}
	return s
}

// fresh copies a directory.
func (s *scene) fresh(t testing.TB, from string) string {
	t.Helper()
	to, err := os.MkdirTemp(s.dir, "root")
	check(t, err)
	sh(t, s.dir, "cp -aT '"+from+"' '"+to+"'")
	copyFlags(t, from, to)
	return to
}

// copyFlags does what cp -a leaves out, under whatever name a flagged file has.
func copyFlags(t testing.TB, from, to string) {
	t.Helper()
	flagged := sh(t, from, `find . -type f -print0 | xargs -0 lsattr 2>/dev/null | awk '$1 ~ /d/ && $2 ~ "^[.]/" { print $2 }'`)
	if names := strings.Fields(flagged); len(names) > 0 {
		sh(t, to, "chattr +d "+strings.Join(names, " "))
	}
}
