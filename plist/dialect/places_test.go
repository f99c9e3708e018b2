package dialect

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

// TestPortPlaces: directories that a package owns are told by the variables of their
// trees wherever the captured installation had them, libraries of Linux's directory for
// one machine are in lib unless two would be one there, links go where what they lead to goes,
// FreeBSD compresses no page that is in none of its directories of pages,
// and what only Linux boots by is left out.
func TestPortPlaces(t *testing.T) {
	l := captured("/p", "etc/tool.d/", "etc/empty/", "etc/init.d/tool", "etc/rc2.d/S01tool -> ../init.d/tool", "lib/udev/rules.d/60-tool.rules",
		"p/lib/x86_64-linux-gnu/", "p/lib/x86_64-linux-gnu/libtool.so -> libtool.so.1", "p/lib/x86_64-linux-gnu/libtool.so.1",
		"p/lib64/", "p/lib64/pkgconfig/", "p/lib64/pkgconfig/old.pc -> tool.pc", "p/lib64/pkgconfig/tool.pc", "p/lib64/tool.la", "p/lib64/old.la -> tool.la", "p/lib/both.a", "p/lib/tool/man/man1/own.1", "p/lib/tool/", "p/lib/tool/man/", "p/lib/tool/man/man1/", "p/lib64/both.a",
		"p/lib/i386-linux-gnu/", "p/lib/i386-linux-gnu/two.a", "p/lib/x86_64-linux-gnu/two.a", "var/lib/tool/", "var/lib/tool/deep/")
	for _, private := range []string{"etc/tool.d", "var/lib/tool", "var/lib/tool/deep"} {
		with(l, private, func(e *plist.Entry) { e.Mode = fs.ModeDir | 0o700 })
	}
	for tree, want := range map[string]string{
		"pkgsrc": `@comment $NetBSD$
lib/both.a
lib/i386-linux-gnu/two.a
lib/libtool.so
lib/libtool.so.1
lib/old.la
lib/pkgconfig/old.pc
lib/pkgconfig/tool.pc
lib/tool.la
lib/tool/man/man1/own.1
lib/x86_64-linux-gnu/two.a
lib64/both.a
OWN_DIRS+= ${PKG_SYSCONFDIR}/empty
OWN_DIRS_PERMS+= ${PKG_SYSCONFDIR}/tool.d ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 0700
OWN_DIRS_PERMS+= ${VARBASE}/lib/tool ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 0700
OWN_DIRS_PERMS+= ${VARBASE}/lib/tool/deep ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 0700
USE_LIBTOOL= yes
`,
		"freebsd": `lib/both.a
lib/i386-linux-gnu/two.a
lib/libtool.so
lib/libtool.so.1
lib/tool/man/man1/own.1
lib/x86_64-linux-gnu/two.a
lib64/both.a
libdata/pkgconfig/old.pc
libdata/pkgconfig/tool.pc
@dir(,,0700) etc/tool.d
@dir etc/empty
@dir(,,0700) /var/lib/tool/deep
@dir(,,0700) /var/lib/tool
USES+= libtool pathfix
USE_LDCONFIG= yes
`,
		"openbsd": `@comment $OpenBSD: PLIST,v$
@sample ${SYSCONFDIR}/empty/
@mode 0700
@sample ${SYSCONFDIR}/tool.d/
@mode
@static-lib lib/both.a
lib/i386-linux-gnu/
lib/i386-linux-gnu/two.a
@lib lib/libtool.so.${LIBtool_VERSION}
lib/old.la
lib/pkgconfig/old.pc
lib/pkgconfig/tool.pc
lib/tool/
lib/tool.la
lib/tool/man/
lib/tool/man/man1/
@man lib/tool/man/man1/own.1
lib/x86_64-linux-gnu/
lib/x86_64-linux-gnu/two.a
lib64/both.a
@cwd /
@mode 0700
@sample /var/lib/tool/
@sample /var/lib/tool/deep/
SHARED_LIBS+= tool 0.0 # 1
`,
	} {
		facts := Facts{
			"p/lib/x86_64-linux-gnu/libtool.so.1": {Type: TypeLibrary}, "p/lib64/pkgconfig/tool.pc": {Type: TypePkgconfig}, "p/lib64/tool.la": {Type: TypeLibtool},
			"p/lib/both.a": {Type: TypeArchive}, "p/lib/tool/man/man1/own.1": {Type: TypeMan},
		}
		port, err := NewPort(tree, l, facts)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		if err := WriteItems(&got, tree, port.Items); err != nil {
			t.Fatal(err)
		}
		text := got.String() + strings.Join(port.Makefile, "\n") + "\n"
		if text != want {
			t.Errorf("%s:\n%swant\n%s", tree, text, want)
		}
		for _, name := range []string{"etc/init.d/tool", "etc/rc2.d/S01tool", "lib/udev/rules.d/60-tool.rules"} {
			if !slices.ContainsFunc(port.Dropped, func(r Remark) bool { return r.Path == name }) {
				t.Errorf("%s: %s is not told as dropped", tree, name)
			}
		}
	}
}
