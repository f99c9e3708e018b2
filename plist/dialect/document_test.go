package dialect

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lists yields the lists of our own and, where it is, of the shared corpus:
// hundreds of real ones.
func lists(t testing.TB, format string) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	shared := os.Getenv("SANDBOX_INSTALL_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	for _, pattern := range []string{filepath.Join("testdata", format, "*"), filepath.Join(shared, "corpus/plist", format, "*")} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = string(text)
		}
	}
	if len(texts) == 0 {
		t.Fatalf("no list of %s", format)
	}
	return texts
}

func text(t testing.TB, doc *Document) string {
	t.Helper()
	var b strings.Builder
	if _, err := doc.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parse(t testing.TB, format, s string) *Document {
	t.Helper()
	doc, err := Parse(format, s)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentsAreLossless(t *testing.T) {
	for _, format := range []string{"pkgsrc", "freebsd", "openbsd", "mtree"} {
		for name, s := range lists(t, format) {
			if got := text(t, parse(t, format, s)); got != s {
				t.Errorf("%s: other bytes", name)
			}
		}
	}
}

func FuzzDocument(f *testing.F) {
	formats := []string{"pkgsrc", "freebsd", "openbsd", "mtree", Native}
	for i, format := range formats[:4] {
		names, err := filepath.Glob(filepath.Join("testdata", format, "*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			s, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), string(s))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, s string) {
		format := formats[int(n)%len(formats)]
		doc := parse(t, format, s)
		if got := text(t, doc); got != s {
			t.Fatalf("%s: %q became %q", format, s, got)
		}
		for _, to := range formats {
			var b strings.Builder
			if err := Convert(&b, format, to, s); err != nil && b.Len() > 0 {
				t.Fatalf("half a list was written: %q", b.String())
			}
		}
	})
}

// TestContinuedLines: a logical line of mtree(5) is one line.
func TestContinuedLines(t *testing.T) {
	const s = "a \\\n type=file \\\n\tmode=0644\nb\n"
	if doc := parse(t, "mtree", s); len(doc.Lines) != 2 || doc.Lines[1].Word != "b" {
		t.Errorf("%d lines: %q", len(doc.Lines), doc.Lines)
	}
	if doc := parse(t, "pkgsrc", s); len(doc.Lines) != 4 {
		t.Errorf("pkgsrc: %d lines", len(doc.Lines))
	}
}

func TestParseUnknownFormat(t *testing.T) {
	if _, err := Parse("rpm", ""); err == nil {
		t.Error("rpm is no format")
	}
}

func TestConvert(t *testing.T) {
	for _, tt := range []struct{ from, to, in, want string }{
		{"pkgsrc", "freebsd", "@comment $NetBSD$\nbin/a\n./@b\n${PLIST.nls}c/${PKGNAME}\n@pkgdir d\n@dirrm e\n", "bin/a\n@ @b\n%%NLS%%c/%%PKGNAME%%\n@dir d\n@comment @dirrm e\n"},
		{"freebsd", "pkgsrc", "%%NLS%%%%NO_X11%%a\n@sample etc/b.sample\n@dir c\n", "@comment $NetBSD$\n${PLIST.nls}${PLIST.no_x11}a\netc/b.sample\n@comment Makefile: CONF_FILES+= ${PREFIX}/etc/b.sample etc/b\n@pkgdir c\n"},
		{"freebsd", "openbsd", "@(root,wheel,4755) bin/a\nb\n@sample c d\n@dir e\n@info f\n", "@comment $OpenBSD: PLIST,v$\n@mode 4755\n@owner root\n@group wheel\nbin/a\n@mode\n@owner\n@group\nb\nc\n@sample d\ne/\n@info f\n"},
		{"openbsd", "freebsd", "@comment $OpenBSD$\n@bin a\nb/\nc\n@mode 600\n@comment hello\n@sample /etc/c\n@mode\n@shell d\n", "a\n@dir b\n@comment hello\n@sample(,,600) c /etc/c\n@shell d\n"},
		{"openbsd", "pkgsrc", "@shell bin/a\n@info info/b.info\n@rcscript ${RCDIR}/c\n", "@comment $NetBSD$\n@comment Makefile: PKG_SHELL+= bin/a\nbin/a\n@comment Makefile: INFO_FILES= yes\ninfo/b.info\n@comment Makefile: RCD_SCRIPTS+= c\n${RCDIR}/c\n"},
		{"openbsd", "freebsd", "@rcscript etc/rc.d/c\n", "@comment Makefile: USE_RC_SUBR+= c\netc/rc.d/c\n"},
		{"openbsd", "freebsd", "${X}/$\\{Y}\n", "%%X%%/${Y}\n"},
		{"pkgsrc", "freebsd", "${X}a\n${PLIST.x}/b\n${PLIST.NLS}${PLIST.no_Foo}c\n", "@ %%X%%a\n%%X%%@ /b\n%%nls%%%%NO_Foo%%c\n"},
		{"freebsd", "pkgsrc", "@ %%X%%a\n%%X%%@ /b\n%%nls%%%%NO_Foo%%c\n", "@comment $NetBSD$\n${X}a\n${PLIST.x}/b\n${PLIST.NLS}${PLIST.no_Foo}c\n"},
		{"pkgsrc", "openbsd", "@pkgdir @a\n", "@comment $OpenBSD: PLIST,v$\n@dir @a/\n"},
		{"freebsd", "openbsd", "%%X%%/${Y}\n", "@comment $OpenBSD: PLIST,v$\n${X}/$\\{Y}\n"},
		{"pkgsrc", "mtree", "@comment $NetBSD$\n@comment hello\na b\n@pkgdir c\n", "# hello\n./a\\040b type=file\n./c type=dir\n"},
		{"mtree", "pkgsrc", ". type=dir\na type=dir\nb type=file mode=4755\n..\n./c\\040d type=dir\n", "@comment $NetBSD$\n@comment Makefile: SPECIAL_PERMS+= a/b ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 4755\na/b\n@pkgdir c d\n"},
	} {
		var b strings.Builder
		if err := Convert(&b, tt.from, tt.to, tt.in); err != nil {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		} else if b.String() != tt.want {
			t.Errorf("%s to %s: got\n%swant\n%s", tt.from, tt.to, b.String(), tt.want)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	for _, tt := range []struct {
		from, to, in string
		line         int
		entry        string
	}{
		{"pkgsrc", "openbsd", "a\n${PLIST.x}b\n", 2, "b"},
		{"pkgsrc", "freebsd", "a\n\n@pkgdep b>=1\n", 3, "@pkgdep b>=1"},
		{"pkgsrc", "freebsd", "a%%B%%\n", 1, "a%%B%%"},
		{"pkgsrc", "freebsd", "a${B:M*}\n", 1, "a${B:M*}"},
		{"freebsd", "pkgsrc", "@exec a=${b}\n", 1, "a=${b}"},
		{"freebsd", "pkgsrc", "%%X%%@mode 4755\n", 1, "%%X%%@mode 4755"},
		{"freebsd", "openbsd", "@(a,b,c,schg) d\n", 1, "@(a,b,c,schg) d"},
		{"freebsd", "openbsd", "a/\n", 1, "a/"},
		{"freebsd", "mtree", "../a\n", 1, "../a"},
		{"freebsd", "mtree", "/a\n", 1, "/a"},
		{"openbsd", "freebsd", "a\n@sample b\n@sample c\n", 3, "c"},
		{"openbsd", "freebsd", "@mode 600\na\n@mode\n@sample b\n", 4, "b"},
		{"openbsd", "freebsd", "@info a\n@sample b\n", 2, "b"},
		{"openbsd", "pkgsrc", "@comment MD5:0123456789abcdef0123456789abcdef\n", 1, "MD5:0123456789abcdef0123456789abcdef"},
		{"pkgsrc", "openbsd", "@comment no debug\n", 1, "no debug"},
		{"pkgsrc", "openbsd", "${PLIST.x}@cwd /\n", 1, "/"},
		{"pkgsrc", "mtree", "a${B}\n", 1, "a${B}"},
		{"pkgsrc", Native, "@comment $NetBSD$\na\n", 2, "a"},
		{"freebsd", "pkgsrc", "@touch a\n", 1, "@touch a"},
		{"freebsd", "pkgsrc", "a${B}\n", 1, "a${B}"},
		{"freebsd", "mtree", "%%A%%@dir b\n", 1, "b"},
		{"openbsd", "pkgsrc", "%%X%%\n", 1, "%%X%%"},
		{"openbsd", "pkgsrc", "a \n", 1, "a "},
		{"openbsd", "freebsd", "@conflict x-*\n", 1, "@conflict x-*"},
		{"mtree", Native, "./a type=file\n", 0, "a"},
	} {
		var b strings.Builder
		err := Convert(&b, tt.from, tt.to, tt.in)
		var refused *Unexpressible
		if !errors.As(err, &refused) || refused.Line != tt.line || refused.Entry != tt.entry || refused.Format != tt.to || b.Len() > 0 {
			t.Errorf("%s to %s of %q: %v (%q)", tt.from, tt.to, tt.in, err, b.String())
		}
	}
}
