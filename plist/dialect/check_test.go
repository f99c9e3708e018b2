package dialect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// checked is the findings of a text, "LINE SEVERITY" each.
func checked(t *testing.T, format, text string) []Finding {
	t.Helper()
	findings, err := Check(parse(t, format, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

// TestCheck holds a line for each rule, and what is said of it. A good line
// stands before and after it.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		format, line, want string // want is "LINE SEVERITY a part of the text", or ""
	}{
		{"pkgsrc", "b", ""},
		{"pkgsrc", "${PLIST.x}${PLIST.y}b", ""},
		{"pkgsrc", "@pkgdir share/x", ""},
		{"pkgsrc", "b ", "3 error white space"},
		{"pkgsrc", "", "3 warning blank line"},
		{"pkgsrc", "a1", "3 error there twice, first in line 2"},
		{"pkgsrc", "${PLIST.x}a1", ""},
		{"pkgsrc", "B", "3 warning sorted before a1"},
		{"pkgsrc", "${PLIST.x}B", "3 warning sorted before a1"},
		{"pkgsrc", "${VAR}/B", ""},
		{"pkgsrc", "b/../c", "3 error no clean path"},
		{"pkgsrc", "b//c", "3 error no clean path"},
		{"pkgsrc", "etc/rc.d/x", "3 error RCD_SCRIPTS"},
		{"pkgsrc", "etc/x", "3 error CONF_FILES"},
		{"pkgsrc", "doc/x", "3 error share/doc"},
		{"pkgsrc", "info/dir", "3 error each machine's own"},
		{"pkgsrc", "lib/locale/de", "3 error share/locale"},
		{"pkgsrc", "lib/charset.alias", "3 error libiconv"},
		{"pkgsrc", "share/icons/hicolor/icon-theme.cache", "3 error cache of icons"},
		{"pkgsrc", "bin/x/y", "3 warning no directories in bin"},
		{"pkgsrc", "lib/x.orig", "3 warning left-over"},
		{"pkgsrc", "lib/CVS/Root", "3 warning left-over"},
		{"pkgsrc", "lib/perl5/perllocal.pod", "3 warning perl keeps"},
		{"pkgsrc", "lib/x.egg-info/y", "3 warning egg.mk"},
		{"pkgsrc", "lib/x.la\nlib/x.so", "4 warning by its libtool archive"},
		{"pkgsrc", "lib/x.la\nlib/x.so.1.2", "4 warning by its libtool archive"},
		{"pkgsrc", "${PLIST.x}lib/x.la\n${PLIST.x}lib/x.so", "4 warning by its libtool archive"},
		{"pkgsrc", "lib/foo/info/dir", ""},
		{"pkgsrc", "cross/lib/charset.alias", ""},
		{"pkgsrc", "lib/x/.gitignore", ""},
		{"pkgsrc", "man/man1/x.${IMAKE_MANNEWSUFFIX}", "3 warning IMAKE_MAN_SUFFIX"},
		{"pkgsrc", "@imake-man a b", "3 warning three arguments"},
		{"pkgsrc", "@unexec ${RMDIR} %D/x", "3 warning when they are empty"},
		{"pkgsrc", "@unexec ${RMDIR} %D/x || ${TRUE}", ""},
		{"pkgsrc", "man/man3p/x.3p", "3 warning unknown section 3p"},
		{"pkgsrc", "share/a\x01b", "3 warning not ASCII"},
		{"pkgsrc", "man/man1/x.1", ""},
		{"pkgsrc", "man/man1/x.1.gz", "3 note MANZ"},
		{"pkgsrc", "man/man1/x.2", "3 warning section 2"},
		{"pkgsrc", "man/manx/x.x", "3 warning unknown section"},
		{"pkgsrc", "man/cat1/x.0", "3 warning without its source"},
		{"pkgsrc", "${PKGMANDIR}/man1/x.1", "3 note written as man/"},
		{"pkgsrc", "share/doc/html/x", "3 warning share/doc/PKGBASE"},
		{"pkgsrc", "share/info/x.info", "3 warning info files"},
		{"pkgsrc", "share/man/man1/x.1", "3 warning manual pages"},
		{"pkgsrc", "share/\xc3\xbc", "3 warning not ASCII"},
		{"pkgsrc", "@comment So it is meant.\nshare/\xc3\xbc", ""},
		{"pkgsrc", "@dirrm share/x", "3 warning @dirrm"},
		{"pkgsrc", "@sample x", "3 warning unknown command @sample"},
		{"pkgsrc", "@exec ldconfig", "3 error ldconfig may fail"},
		{"pkgsrc", "@exec /sbin/ldconfig || /usr/bin/true", ""},

		{"freebsd", "b", ""},
		{"freebsd", "%%X%%@sample etc/x.sample", ""},
		{"freebsd", "@(root,wheel,4755) bin/su", ""},
		{"freebsd", "/you/have/to/check/what/makeplist/gives/you", "3 error makeplist"},
		{"freebsd", "a1", "3 error there twice"},
		{"freebsd", " b", "3 warning start of the line"},
		{"freebsd", "b ", "3 error end of the line"},
		{"freebsd", "@dirrm b", "3 warning obsolete"},
		{"freebsd", "@exec b", "3 warning @postexec"},
		{"freebsd", "@nonsense b", "3 error unknown keyword @nonsense"},
		{"freebsd", "etc/rc.d/b", "3 warning USE_RC_SUBR"},
		{"freebsd", "", "3 warning blank line"},
		{"freebsd", "@cwd /x", "3 warning absolute names"},
		{"freebsd", "@(,,) b", ""},
		{"freebsd", "@comment $FreeBSD$", "3 warning git"},
		{"freebsd", "@sample etc/b", "3 error ends in .sample"},
		{"freebsd", "@sample etc/b etc/b", "3 error that differ"},
		{"freebsd", "@sample etc/b c d", "3 error one name, or two"},
		{"freebsd", "@sample etc/%%B%%", ""},
		{"freebsd", "@sample etc/b etc/c", ""},
		{"freebsd", `@sample "etc/b b.sample"`, ""},
		{"freebsd", "@group b\nb\n@group", ""},
		{"freebsd", "@postexec /sbin/ldconfig -m x", "3 warning USE_LDCONFIG"},
		{"freebsd", "info/b.info", "3 warning INFO"},
		{"freebsd", "@info info/b.info", ""},
		{"freebsd", "www/b.info", ""},
		{"freebsd", "share/info/b.info-2", "3 error INFO"},
		{"freebsd", "lib/pkgconfig/b.pc", "3 error libdata"},
		{"freebsd", "lib/perl5/site_perl/B.pm", "3 warning %%SITE_PERL%%"},
		{"freebsd", "lib/perl5/site_perl/mach/%%PERL_VER%%/B.pm", "3 warning %%SITE_ARCH%%"},
		{"freebsd", "lib/gcc/x86_64-portbld-freebsd13.2/b", "3 warning %%CONFIGURE_TARGET%%"},
		{"freebsd", "share/b/.DS_Store", "3 warning macOS"},
		{"freebsd", "%%PORTDOCS%%%%DATADIR%%/b", "3 warning PORTDATA, not PORTDOCS"},
		{"freebsd", "%%PORTDOCS%%%%DOCSDIR%%/b", ""},
		{"freebsd", "%%X%%%%DATADIR%%/b", ""},
		{"freebsd", "@ldconfig32\n@shared-mime-info share/mime", ""},
		{"freebsd", "usr/share/info/dir", ""},
		{"freebsd", "info/dir", "3 error each machine's own"},
		{"freebsd", "%%ARCH_LIB%%/.packlist", ""},
		{"freebsd", "share/man/man1/x.1", "3 warning .gz"},
		{"freebsd", "man/man1/x.1.gz", ""},
		{"freebsd", "%%SITE_ARCH%%/auto/B/.packlist", "3 error Perl"},
		{"freebsd", "share/x/y\n@dir share/x", ""},
		{"freebsd", "lib/x/y.core", "3 warning daily(8)"},
		{"freebsd", "etc/gconf/schemas/x.schemas", "3 error GCONF_SCHEMAS"},
		{"freebsd", "share/fonts/x/fonts.dir", "3 warning index of fonts"},
		{"freebsd", "jre/lib/fonts/fonts.dir", ""},

		{"openbsd", "b/", ""},
		{"openbsd", "@man man/man1/b.1", ""},
		{"openbsd", "man/man1/b.1", "3 warning without @man"},
		{"openbsd", "man/man1/b.1.gz", "3 warning compressed"},
		{"openbsd", "man/cat1/b.0", "3 warning formatted"},
		{"openbsd", "a1", "3 error there twice"},
		{"openbsd", "@nonsense b", "3 error unknown command"},
		{"openbsd", "@endfake", "3 warning obsolete"},
		{"openbsd", "@lib lib/libx.so.1.0", "3 error ${LIBx_VERSION}"},
		{"openbsd", "@lib lib/libx.so.${LIBx_VERSION}", ""},
		{"openbsd", "lib/libx.so.1.0", "3 warning without @lib"},
		{"openbsd", "lib/libx.so.1", ""},
		{"openbsd", "@sample /etc/b", ""},
		{"openbsd", "@mode 4755\nb\n@mode", ""},
		{"openbsd", "@mode 4755\nb", ""},
		{"openbsd", "man/man3/b.3perl", ""},
		{"openbsd", "@man share/man/man1/b.1", "3 error belong into man"},
		{"openbsd", "share/info/b.info", "3 error belong into info"},
		{"openbsd", "share/icons/x.xpm", "3 error share/pixmaps"},
		{"openbsd", "share/icons/x.png", "3 error of their own"},
		{"openbsd", "share/icons/x/y/z.png", "3 error @tag gtk-update-icon-cache %D/share/icons/x is missing"},
		{"openbsd", "share/icons/x/y/z.png\n@tag gtk-update-icon-cache %D/share/icons/x", ""},
		{"openbsd", "share/icons/x/y/z.png\n@tag gtk-update-icon-cache %D/share/icons/y", "3 error share/icons/x is missing"},
		{"openbsd", "share/applications/x.desktop\n@exec %D/bin/update-desktop-database", ""},
		{"openbsd", "share/applications/x.desktop\n%%other%%", ""},
		{"openbsd", "usr/emul/lib/libx.so.1.0", ""},
		{"openbsd", "share/x/y\nshare/x/", "4 warning before what is in it, line 3"},
		{"openbsd", "info/x.info-1", "3 warning part of an info file"},
	} {
		first := map[string]string{"pkgsrc": "@comment $NetBSD$\n", "freebsd": "@comment hello\n", "openbsd": "@comment $OpenBSD$\n"}[tt.format]
		findings := checked(t, tt.format, first+"a1\n"+tt.line+"\nz\n")
		var got []string
		for _, f := range findings {
			got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Severity, f.Text))
		}
		if tt.want == "" {
			if len(got) > 0 {
				t.Errorf("%s %q: %q", tt.format, tt.line, got)
			}
			continue
		}
		words := strings.SplitN(tt.want, " ", 3)
		if len(got) != 1 || !strings.HasPrefix(got[0], words[0]+" "+words[1]+" ") || !strings.Contains(got[0], words[2]) {
			t.Errorf("%s %q: %q, want %q", tt.format, tt.line, got, tt.want)
		}
	}
}

// TestCheckOrder: what is missed at one line is told in one order.
func TestCheckOrder(t *testing.T) {
	const list = "@comment $OpenBSD$\nshare/texmf-local/share/applications/x.desktop\n"
	first := checked(t, "openbsd", list)
	for range 20 {
		if findings := checked(t, "openbsd", list); len(findings) != 2 || !slices.Equal(first, findings) {
			t.Fatalf("%v, first %v", findings, first)
		}
	}
}

func TestCheckWholeList(t *testing.T) {
	for _, tt := range []struct{ format, text, want string }{
		{"pkgsrc", "", "1 error the list is empty"},
		{"pkgsrc", "@comment $NetBSD: x $\n", "1 error the list is empty"},
		{"pkgsrc", "@comment $NetBSD$\n+x\n", "2 error begins with a letter"},
		{"pkgsrc", "a\n", "1 error the first line is not"},
		{"pkgsrc", "@comment $NetBSD$\na", "2 error no newline"},
		{"pkgsrc", "@comment $NetBSD$\na\x00\n", "2 error a NUL byte"},
		{"freebsd", "\ufeffa\n%%B%%b\n", "1 error a byte order mark"},
		{"freebsd", "a\r\n%%B%%b\n", "1 error white space at the end"},
		{"openbsd", "a\r\n", "1 error a carriage return"},
		{"freebsd", "", "1 error the list is empty"},
		{"freebsd", "a\nb\nc\nd\ne\n", "0 note PLIST_FILES"},
		{"openbsd", "", "1 error the list is empty"},
		{"openbsd", "@sample /etc/x\n", "1 error no file before it"},
		{"mtree", "./a type=nonsense\n", `0 error line 1: ./a: unknown type "nonsense"`},
		{Native, "a\n", "0 error not a native"},
	} {
		findings := checked(t, tt.format, tt.text)
		if len(findings) != 1 {
			t.Errorf("%s %q: %v", tt.format, tt.text, findings)
			continue
		}
		got := fmt.Sprintf("%d %s %s", findings[0].Line, findings[0].Severity, findings[0].Text)
		if words := strings.SplitN(tt.want, " ", 3); !strings.HasPrefix(got, words[0]+" "+words[1]) || !strings.Contains(got, words[2]) {
			t.Errorf("%s %q: %q, want %q", tt.format, tt.text, got, tt.want)
		}
	}
}
