package dialect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckMakefile holds for each rule a Makefile that the list does not agree
// with, and one that it does.
func TestCheckMakefile(t *testing.T) {
	for _, tt := range []struct{ format, list, without, with, want string }{
		{"pkgsrc", "${PLIST.nls}a", "PLIST_VARS+= x", "PLIST_VARS+=\tx nls # why", "2 warning the condition nls is not in PLIST_VARS"},
		{"pkgsrc", "${PLIST.nls}a", "", "PLIST.nls= yes", "2 warning the condition nls"},
		{"pkgsrc", "${PLIST.a_b}a", "PLIST_VARS+= ${OPTS}\nOPTS= c", ".for l in a b\nPLIST_VARS+= ${l}_b\n.endfor", "2 warning the condition a_b"},
		{"pkgsrc", "${FOO}/a\n${PKGVERSION}\n${PYSITELIB}/b", "", "PLIST_SUBST+= FOO=${BAR:Q} \\\n\tX=1", "2 warning the variable FOO is not in PLIST_SUBST"},
		{"pkgsrc", "${PKGLOCALEDIR}/locale/de/LC_MESSAGES/a.mo", "", "USE_PKGLOCALEDIR=yes", "2 warning USE_PKGLOCALEDIR"},
		{"pkgsrc", "info/a.info", "", "INFO_FILES=\tyes", "2 warning INFO_FILES"},
		{"pkgsrc", "lib/a.la", "#USE_LIBTOOL=yes", "USE_LIBTOOL=yes", "2 warning USE_LIBTOOL"},
		{"pkgsrc", "share/icons/hicolor/16x16/apps/a.png", "", `.include "../../graphics/hicolor-icon-theme/buildlink3.mk"`, "2 error hicolor-icon-theme"},
		{"pkgsrc", "share/icons/gnome/16x16/apps/a.png", "", `.  include "../../graphics/gnome-icon-theme/buildlink3.mk"`, "2 error gnome-icon-theme"},
		{"pkgsrc", "share/icons/a/index.theme", "", "ICON_THEMES= yes", "2 warning ICON_THEMES"},
		{"pkgsrc", "share/omf/a/b.omf", "", `.include "../../mk/omf-scrollkeeper.mk"`, "2 error omf-scrollkeeper"},
		{"pkgsrc", "share/examples/a/b", "EGDIR= ${PREFIX}/share/examples/a/\nCONF_FILES+= ${EGDIR}/c ${PKG_SYSCONFDIR}/c", "CONF_FILES+= ${EGDIR}/b b\nEGDIR= ${PREFIX}/share/examples/${PKGBASE}", "0 error share/examples/a/c is in CONF_FILES"},
		{"pkgsrc", "bin/a", "SPECIAL_PERMS+= ${PREFIX}/bin/b ${SETUID_ROOT_PERMS}", "SPECIAL_PERMS+= ${PREFIX}/bin/a root wheel 04755", ""},
		{"pkgsrc", "bin/a", "SPECIAL_PERMS+= ${PREFIX}/bin/b root wheel 04755", "", "0 error bin/b is in SPECIAL_PERMS"},
		{"pkgsrc", "share/a/b", "CONF_FILES= ${PREFIX}/share/a/c c\n" + strings.Repeat("CONF_FILES:= ${CONF_FILES} ${PREFIX}/share/a/b b\n", 11), "", "0 error share/a/c is in CONF_FILES"},
		{"pkgsrc", "${PLIST.nls}a", "", "PLIST_VARS= ${A} ${A} ${A} ${A} ${A} ${A} ${A} ${A} ${A} nls\nA= ${PLIST_VARS} ${PLIST_VARS} ${PLIST_VARS} ${PLIST_VARS}", "2 warning the condition nls"},
		{"pkgsrc", "${PLIST.doc}a", "", `.include "../../mk/haskell.mk"`, "2 warning the condition doc"},
		{"freebsd", "%%NLS%%a\n%%NO_X11%%b", "OPTIONS_DEFINE= X11", "OPTIONS_DEFINE= NLS X11", "1 warning the condition NLS is neither"},
		{"freebsd", "%%A%%a", "", "OPTIONS_SINGLE_X= A B", "1 warning the condition A"},
		{"freebsd", "%%A%%a", "", "X_PLIST_SUB= A=", "1 warning the condition A"},
		{"freebsd", "a/%%A%%", "", `PLIST_SUB= A="b c"`, "1 warning the variable A is not in PLIST_SUB"},
		{"freebsd", "share/locale/de/LC_MESSAGES/a.mo", "USES= gmake", "NLS_USES= gettext", "1 warning gettext"},
		{"freebsd", "lib/a.la", "", "USES= libtool:keepla", "1 warning USES+= libtool"},
		{"freebsd", "share/doc/a/b", "PORTNAME= a", "PORTNAME= ab", "1 warning %%DOCSDIR%%"},
		{"openbsd", "${FOO}/a\n${SYSCONFDIR}/b", "", "SUBST_VARS= FOO", "1 warning the variable FOO is not in SUBST_VARS"},
		{"openbsd", "@lib lib/liba.so.${LIBa_VERSION}", "SHARED_LIBS += b 0.0", "SHARED_LIBS += a 0.0 # 1.2", "1 error SHARED_LIBS does not have a"},
	} {
		first := map[string]string{"pkgsrc": "@comment $NetBSD$\n"}[tt.format]
		last := map[string]string{"freebsd": "@dir z\n"}[tt.format] // or PLIST_FILES would do
		for makefile, want := range map[string]string{tt.without: tt.want, tt.with: ""} {
			if makefile == tt.with && tt.with == "" {
				continue
			}
			got := checkedWith(t, tt.format, first+tt.list+"\n"+last, makefile)
			words := strings.SplitN(want, " ", 3)
			if want == "" && got != "" || want != "" && (!strings.HasPrefix(got, words[0]+" "+words[1]+" ") || !strings.Contains(got, words[2]) || strings.Contains(got, "\n")) {
				t.Errorf("%s %q with %q: %q, want %q", tt.format, tt.list, makefile, got, want)
			}
		}
	}
}

func checkedWith(t *testing.T, format, list, makefile string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "Makefile")
	if err := os.WriteFile(name, []byte(makefile+"\n.include \"../../mk/bsd.pkg.mk\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(name), "PLIST"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ReadMakefile(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	findings, err := Check(parse(t, format, list), m)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range findings {
		lines = append(lines, fmt.Sprintf("%d %s %s", f.Line, f.Severity, f.Text))
	}
	return strings.Join(lines, "\n")
}

// TestReadMakefile follows what a Makefile includes, and says nothing of what
// may be defined in a file that is not here.
func TestReadMakefile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/Makefile":        "BASE=${.CURDIR}/../b\n.include \"${BASE}/Makefile.common\"\n.include \"options.mk\"\n",
		"a/options.mk":      "PLIST_VARS+= x\n.include \"options.mk\"\n",
		"b/Makefile.common": "PLIST_VARS+= y\n",
		"f/p/Makefile":      "",
		"Keywords/new.ucl":  "",
		"g/Makefile":        ".include \"${.CURDIR}/../h/bsd.h.mk\"\n.include <bsd.port.mk>\n",
		"h/bsd.h.mk":        "PLIST_VARS+= x y z\n",
		"c/Makefile":        ".include \"../nowhere/Makefile.common\"\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		dir  string
		want int
	}{{"a", 1}, {"c", 0}, {"g", 0}} {
		m, err := ReadMakefile(filepath.Join(dir, tt.dir))
		if err != nil {
			t.Fatal(err)
		}
		findings, err := Check(parse(t, "pkgsrc", "@comment $NetBSD$\n${PLIST.x}a\n${PLIST.y}b\n${PLIST.z}c\n"), m)
		if err != nil || len(findings) != tt.want {
			t.Errorf("%s: %v, %v", tt.dir, findings, err)
		}
	}
	m, err := ReadMakefile(filepath.Join(dir, "f/p"))
	if err != nil {
		t.Fatal(err)
	}
	findings, err := Check(parse(t, "freebsd", "@new a\n@old b\n"), m)
	if err != nil || len(findings) != 1 || findings[0].Line != 2 {
		t.Errorf("keywords of the tree: %v, %v", findings, err)
	}
	if _, err := ReadMakefile(filepath.Join(dir, "d")); err == nil {
		t.Error("there is no such Makefile")
	}
}
