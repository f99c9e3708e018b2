package dialect

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// content is a Tree of file contents by entry path.
type content map[string]string

func (c content) Open(path string) (plist.File, error) {
	text, ok := c[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// installed makes a list and its tree: names as for captured, with contents.
func installed(prefix string, files map[string]string) (*plist.List, content) {
	var names []string
	tree := make(content)
	for name, text := range files {
		names = append(names, name)
		tree[name] = text
	}
	return captured(prefix, names...), tree
}

var someFiles = map[string]string{
	"p/":                               "",
	"p/bin/":                           "",
	"p/bin/tool":                       "#!/usr/bin/perl -w\n",
	"p/etc/":                           "",
	"p/etc/foo.conf":                   "key=value\n",
	"p/etc/foo/":                       "",
	"p/etc/foo/more.conf":              "key=value\n",
	"p/etc/rc.d/":                      "",
	"p/etc/rc.d/food":                  "#!/bin/sh\n",
	"p/info/":                          "",
	"p/info/dir":                       "File: dir,\tNode: Top\n",
	"p/info/foo.info":                  "This is foo.info, produced by makeinfo version 6.8\n",
	"p/info/foo.info-1":                "This is foo.info, produced by makeinfo version 6.8\n",
	"p/lib/":                           "",
	"p/lib/libfoo.la":                  "# libfoo.la - a libtool library file\ndlname='libfoo.so.1'\nlibrary_names='libfoo.so.1.2 libfoo.so.1 libfoo.so'\nold_library='libfoo.a'\n",
	"p/lib/libfoo.a":                   "!<arch>\n",
	"p/lib/libfoo.so -> x":             "",
	"p/lib/libfoo.so.1 -> x":           "",
	"p/lib/libfoo.so.1.2":              "",
	"p/lib/libbar.so.3":                "",
	"p/man/":                           "",
	"p/man/man1/":                      "",
	"p/man/man1/foo.1.gz":              "",
	"p/man/man1/bar.1 -> foo.1.gz":     "",
	"p/share/":                         "",
	"p/share/applications/foo.desktop": "[Desktop Entry]\nMimeType=text/x-foo;\n",
	"p/share/foo/":                     "",
	"p/share/foo/data":                 "",
	"p/share/foo/data.orig":            "",
	"p/share/foo/empty/":               "",
	"p/share/fonts/":                   "",
	"p/share/fonts/foo/":               "",
	"p/share/fonts/foo/a.ttf":          "",
	"var/db/foo/":                      "",
}

func TestPort(t *testing.T) {
	for tree, want := range map[string]struct{ list, makefile, dropped string }{
		"pkgsrc": {`@comment $NetBSD$
bin/tool
info/foo.info
lib/libbar.so.3
lib/libfoo.la
man/man1/bar.1
man/man1/foo.1
share/applications/foo.desktop
share/examples/foo/foo.conf
share/examples/foo/more.conf
share/fonts/foo/a.ttf
share/foo/data
@pkgdir share/foo/empty
`, `CONF_FILES+= ${PREFIX}/share/examples/foo/foo.conf ${PKG_SYSCONFDIR}/foo.conf
CONF_FILES+= ${PREFIX}/share/examples/foo/more.conf ${PKG_SYSCONFDIR}/foo/more.conf
FONTS_DIRS.ttf+= ${PREFIX}/share/fonts/foo
INFO_FILES= yes
MAKE_DIRS+= ${PKG_SYSCONFDIR}/foo
OWN_DIRS+= ${VARBASE}/db/foo
RCD_SCRIPTS+= food
SPECIAL_PERMS+= bin/tool ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 4755
USE_LIBTOOL= yes
.include "../../sysutils/desktop-file-utils/desktopdb.mk"
`, "info/dir share/foo/data.orig"},
		"freebsd": {`@(,,4755) bin/tool
@sample etc/foo.conf.sample
@sample etc/foo/more.conf.sample
lib/libbar.so.3
lib/libfoo.a
lib/libfoo.so
lib/libfoo.so.1
lib/libfoo.so.1.2
man/man1/bar.1.gz
man/man1/foo.1.gz
share/applications/foo.desktop
share/fonts/foo/a.ttf
share/foo/data
@dir share/foo/empty
@fontsdir share/fonts/foo
@dir /var/db/foo
`, `INFO+= foo
USES+= desktop-file-utils fonts libtool
USE_LDCONFIG= yes
USE_RC_SUBR+= food
`, "info/dir lib/libfoo.la share/foo/data.orig"},
		"openbsd": {`@comment $OpenBSD: PLIST,v$
@sample ${SYSCONFDIR}/foo/
@mode 4755
bin/tool
@mode
@info info/foo.info
@lib lib/libbar.so.${LIBbar_VERSION}
@static-lib lib/libfoo.a
lib/libfoo.la
@lib lib/libfoo.so.${LIBfoo_VERSION}
@man man/man1/bar.1
@man man/man1/foo.1
share/applications/foo.desktop
share/examples/foo/
share/examples/foo/foo.conf
@sample ${SYSCONFDIR}/foo.conf
share/examples/foo/more.conf
@sample ${SYSCONFDIR}/foo/more.conf
@fontdir share/fonts/foo/
share/fonts/foo/a.ttf
share/foo/
share/foo/data
share/foo/empty/
@rcscript ${RCDIR}/food
@tag update-desktop-database
@cwd /
@sample /var/db/foo/
`, `SHARED_LIBS+= bar 0.0 # 3
SHARED_LIBS+= foo 0.0 # 1.2
`, "info/dir lib/libfoo.so lib/libfoo.so.1 share/foo/data.orig"},
	} {
		l, c := installed("/p", someFiles)
		with(l, "p/bin/tool", func(e *plist.Entry) { e.Mode = fs.ModeSetuid | 0o755 })
		for _, link := range []string{"p/lib/libfoo.so", "p/lib/libfoo.so.1"} {
			with(l, link, func(e *plist.Entry) { e.Link = "libfoo.so.1.2" })
		}
		facts, err := Inspect(l, c)
		if err != nil {
			t.Fatal(err)
		}
		facts["p/lib/libfoo.so.1.2"] = &Fact{Type: TypeLibrary}
		facts["p/lib/libbar.so.3"] = &Fact{Type: TypeLibrary}
		port, err := NewPort(tree, l, facts)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := WriteItems(&b, tree, port.Items); err != nil {
			t.Fatal(err)
		}
		if b.String() != want.list {
			t.Errorf("%s: got\n%swant\n%s", tree, b.String(), want.list)
		}
		if got := strings.Join(port.Makefile, "\n") + "\n"; got != want.makefile {
			t.Errorf("%s: Makefile\n%swant\n%s", tree, got, want.makefile)
		}
		var dropped []string
		for _, r := range port.Dropped {
			dropped = append(dropped, r.Path)
		}
		slices.Sort(dropped)
		if got := strings.Join(dropped, " "); got != want.dropped {
			t.Errorf("%s: dropped %s, want %s", tree, got, want.dropped)
		}
	}
}

// TestInspectELF lets the C compiler make the objects and readelf(1) judge them.
func TestInspectELF(t *testing.T) {
	gcc, readelf := need.Program(t, "gcc"), need.Program(t, "readelf")
	dir := t.TempDir()
	source := filepath.Join(dir, "a.c")
	if err := os.WriteFile(source, []byte("int foo(void){return 1;}\nint main(void){return foo();}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, flags := range map[string][]string{
		"p/lib/libfoo.so.1.2":  {"-shared", "-fPIC", "-Wl,-soname,libfoo.so.1"},
		"p/lib/foo/plugin.so":  {"-shared", "-fPIC"},
		"p/bin/pie":            {"-pie", "-fPIE"},
		"p/bin/fixed":          {"-no-pie"},
		"p/bin/static-pie":     {"-static-pie"},
		"p/lib/crt.o":          {"-c"},
		"p/lib/libnosoname.so": {"-shared", "-fPIC"},
	} {
		out := filepath.Join(dir, filepath.Base(name))
		if msg, err := exec.Command(gcc, append(flags, "-o", out, source)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, msg)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	l, c := installed("/p", files)
	for i := range l.Entries {
		l.Entries[i].Mode |= 0o111
	}
	facts, err := Inspect(l, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Type{
		"p/lib/libfoo.so.1.2": TypeLibrary, "p/lib/foo/plugin.so": TypePlugin, "p/bin/pie": TypeProgram,
		"p/bin/fixed": TypeProgram, "p/bin/static-pie": TypeProgram, "p/lib/crt.o": "", "p/lib/libnosoname.so": TypePlugin,
	} {
		fact := facts[name]
		if fact == nil || fact.Type != want {
			t.Errorf("%s: %+v, want %q", name, fact, want)
			continue
		}
		out, err := exec.Command(readelf, "-ldh", filepath.Join(dir, filepath.Base(name))).Output()
		if err != nil {
			t.Fatal(err)
		}
		said := string(out)
		if strings.Count(said, "(NEEDED)") != len(fact.Needed) || strings.Contains(said, "(SONAME)") != (fact.Soname != "") ||
			strings.Contains(said, "interpreter: "+fact.Interp+"]") != (fact.Interp != "") || !strings.Contains(said, fact.Format) {
			t.Errorf("%s: %+v, but readelf says\n%s", name, fact, said)
		}
		for _, needed := range append(fact.Needed, fact.Soname) {
			if !strings.Contains(said, needed) {
				t.Errorf("%s: %s is nothing that readelf saw", name, needed)
			}
		}
	}
}

// TestPortLanguages: modules as Debian's perl, Python and RubyGems install them
// become what a tree's lists have, with no directory that the language has.
func TestPortLanguages(t *testing.T) {
	perl, tree := installed("/p", map[string]string{
		"p/share/perl/": "", "p/share/perl/5.36.0/": "", "p/share/perl/5.36.0/Net/": "", "p/share/perl/5.36.0/Net/T.pm": "",
		"p/lib/x86_64-linux-gnu/": "", "p/lib/x86_64-linux-gnu/perl/": "", "p/lib/x86_64-linux-gnu/perl/5.36.0/": "", "p/lib/x86_64-linux-gnu/perl/5.36.0/auto/": "",
		"p/lib/x86_64-linux-gnu/perl/5.36.0/auto/Net/": "", "p/lib/x86_64-linux-gnu/perl/5.36.0/auto/Net/T/": "",
		"p/lib/x86_64-linux-gnu/perl/5.36.0/auto/Net/T/.packlist": "/p/man/man3/Net::T.3pm\n/p/share/perl/5.36.0/Net/T.pm\n",
		"p/share/man/man3/Net::T.3pm":                             ".TH\n",
	})
	gem, none := installed("/p", map[string]string{
		"p/lib/ruby/": "", "p/lib/ruby/gems/": "", "p/lib/ruby/gems/3.1.0/": "", "p/lib/ruby/gems/3.1.0/doc/": "", "p/lib/ruby/gems/3.1.0/gems/": "",
		"p/lib/ruby/gems/3.1.0/gems/foo-1.0/": "", "p/lib/ruby/gems/3.1.0/gems/foo-1.0/foo.rb": "", "p/lib/ruby/gems/3.1.0/cache/foo-1.0.gem": "",
	})
	for _, tt := range []struct {
		name string
		list *plist.List
		tree content
		want map[string]string
	}{
		{"perl", perl, tree, map[string]string{
			"pkgsrc":  "|PERL5_PACKLIST+= auto/Net/T/.packlist .include \"../../lang/perl5/module.mk\"",
			"freebsd": "%%SITE_PERL%%/Net/T.pm %%PERL5_MAN3%%/Net::T.3.gz|",
			"openbsd": "${P5SITE}/Net/ ${P5SITE}/Net/T.pm @man man/man3p/Net::T.3p|",
		}},
		{"gem", gem, none, map[string]string{
			"pkgsrc":  "${GEM_HOME}/cache/${GEM_NAME}.gem ${GEM_LIBDIR}/foo.rb|.include \"../../lang/ruby/gem.mk\"",
			"freebsd": "%%RUBY_GEMDIR%%/cache/foo-%%PORTVERSION%%.gem %%RUBY_GEMDIR%%/gems/foo-%%PORTVERSION%%/foo.rb|USES+= gem",
			"openbsd": "${GEM_LIB}/cache/${DISTNAME}.gem ${GEM_LIB}/gems/${DISTNAME}/ ${GEM_LIB}/gems/${DISTNAME}/foo.rb|",
		}},
	} {
		facts, err := Inspect(tt.list, tt.tree)
		if err != nil {
			t.Fatal(err)
		}
		for format, want := range tt.want {
			port, err := NewPort(format, tt.list, facts)
			if err != nil {
				t.Fatal(err)
			}
			port.Substitute(nil, VariablesOf(format, port))
			var b strings.Builder
			if err := WriteItems(&b, format, port.Items[1:]); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(strings.Split(strings.TrimSpace(b.String()), "\n"), " ") + "|" + strings.Join(port.Makefile, " ")
			if got != want {
				t.Errorf("%s, %s: got  %s\nwant %s", tt.name, format, got, want)
			}
		}
	}
}
