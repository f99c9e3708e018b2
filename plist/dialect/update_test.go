package dialect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

func TestUpdate(t *testing.T) {
	version := Variable{Name: "PKGVERSION", Values: []string{"2.0"}}
	for _, tt := range []struct {
		name, format, old string
		items             []Item
		want, told        string
	}{
		{
			name: "nothing to do", format: "pkgsrc",
			old:   "@comment $NetBSD: PLIST,v 1.2 $\nz\na ${PKGVERSION}\n@comment hello\n@exec true\nman/man1/x.1",
			items: files("a 2.0", "man/man1/x.1", "z"),
			want:  "@comment $NetBSD: PLIST,v 1.2 $\nz\na ${PKGVERSION}\n@comment hello\n@exec true\nman/man1/x.1",
		},
		{
			name: "added, gone, kept", format: "pkgsrc",
			old:   "@comment $NetBSD$\n@comment about b\nb\nd  \n${PLIST.x}e\nf\n@pkgdir g\n",
			items: append(files("a", "b", "c", "f-2.0", "h"), Item{Kind: KindDir, Path: "i"}),
			want:  "@comment $NetBSD$\na\n@comment about b\nb\nc\n${PLIST.x}e\nf-${PKGVERSION}\nh\n@pkgdir i\n",
			told:  "- d - f - g + a + c + f-2.0 + h + i = e",
		},
		{
			name: "old variables for new paths", format: "pkgsrc",
			old:   "share/foo-${PKGVERSION}/a\n",
			items: files("share/foo-2.0/a", "share/foo-2.0/b", "share/11"),
			want:  "share/11\nshare/foo-${PKGVERSION}/a\nshare/foo-${PKGVERSION}/b\n",
			told:  "+ share/foo-2.0/b + share/11",
		},
		{
			name: "an unknown variable's value is found", format: "pkgsrc",
			old:   "${EGG}/a\n${EGG}/b\n${NEVER}/c\n",
			items: files("lib/x.egg/a", "lib/x.egg/b", "lib/x.egg/d", "other/b"),
			want:  "${EGG}/a\n${EGG}/b\n${EGG}/d\nother/b\n${NEVER}/c\n",
			told:  "+ lib/x.egg/d + other/b = ${NEVER}/c",
		},
		{
			name: "a value tells another, in whatever order", format: "pkgsrc",
			old:   "share/${A}/${C}/x\nshare/${C}/${B}/x\nshare/${B}\nshare/${B}x\n",
			items: files("share/1/3/x", "share/3/2/x", "share/2", "share/2x"),
			want:  "share/${A}/${C}/x\nshare/${C}/${B}/x\nshare/${B}\nshare/${B}x\n",
		},
		{
			name: "conditions of neighbours", format: "freebsd",
			old:   "bin/a\n%%NLS%%share/locale/de/x.mo\n",
			items: files("bin/a", "bin/b", "share/locale/de/x.mo", "share/locale/de/y.mo", "share/locale/fr/x.mo"),
			want:  "bin/a\nbin/b\n%%NLS%%share/locale/de/x.mo\n%%NLS%%share/locale/de/y.mo\nshare/locale/fr/x.mo\n",
			told:  "+ bin/b + share/locale/de/y.mo + share/locale/fr/x.mo",
		},
		{
			name: "the top directory has no condition", format: "pkgsrc",
			old: "${PLIST.x}a\n", items: files("a", "b"), want: "${PLIST.x}a\nb\n", told: "+ b",
		},
		{
			name: "samples", format: "openbsd",
			old:   "a\n@sample /etc/a\nb\n@sample /etc/b\n@sample /var/a/\n@sample /var/b/\n",
			items: []Item{{Kind: KindFile, Path: "a"}, {Kind: KindSample, Path: "/etc/a", Text: "a"}, {Kind: KindFile, Path: "aa"}, {Kind: KindSample, Path: "/etc/aa", Text: "aa"}, {Kind: KindSample, Path: "/var/a"}, {Kind: KindSample, Path: "/var/c"}},
			want:  "a\n@sample /etc/a\naa\n@sample /etc/aa\n@sample /var/a/\n@sample /var/c/\n",
			told:  "- b - /etc/b - /var/b + aa + /var/c",
		},
		{
			name: "commands about the path before them", format: "freebsd",
			old:   "a\n@postexec x %F\n@postexec y\nb\n@postexec z %D\n@postunexec z %B/%f\n",
			items: files("a", "aa", "c"),
			want:  "a\n@postexec x %F\naa\nc\n@postexec y\n@postexec z %D\n",
			told:  "- b - z %B/%f + aa + c",
		},
		{
			name: "commented out", format: "openbsd",
			old:   "a\n@comment b.orig\n",
			items: files("a", "b.orig"),
			want:  "a\n@comment b.orig\n",
		},
		{
			name: "no newline at the end", format: "pkgsrc",
			old: "a", items: files("a", "b"), want: "a\nb\n", told: "+ b",
		},
		{
			name: "absolute names", format: "freebsd",
			old:   "bin/a\n/boot/b\n@dir /var/a\n@dir(,,0700) /var/b\nlib/z\n",
			items: append(files("bin/a", "bin/b", "lib/z", "lib/zz", "/boot/a", "/boot/b", "/boot/c"), Item{Kind: KindDir, Path: "/var/b"}),
			want:  "bin/a\nbin/b\n/boot/b\n/boot/c\n@dir(,,0700) /var/b\nlib/z\nlib/zz\n/boot/a\n",
			told:  "- /var/a + bin/b + lib/zz + /boot/a + /boot/c",
		},
		{
			name: "absolute names for those behind @cwd", format: "freebsd",
			old:   "bin/a\n@cwd /\nvar/db/a\nvar/db/b\n@cwd\nlib/z\n",
			items: files("bin/a", "lib/z", "var/db/a", "/var/db/a", "/var/db/c"),
			want:  "bin/a\n@cwd /\nvar/db/a\n/var/db/c\n@cwd\nlib/z\nvar/db/a\n",
			told:  "- /var/db/b + var/db/a + /var/db/c",
		},
		{
			name: "behind another prefix", format: "pkgsrc",
			old:   "bin/a\n@cwd /\netc/a\netc/c\n",
			items: slices.Concat(files("bin/a", "bin/b", "etc/x"), []Item{{Kind: KindPrefix, Path: "/"}}, files("etc/a", "etc/b", "etc/c", "bin/a")),
			want:  "bin/a\nbin/b\netc/x\n@cwd /\netc/a\netc/b\netc/c\nbin/a\n",
			told:  "+ bin/b + etc/x + /etc/b + /bin/a",
		},
		{
			name: "the first path behind another prefix", format: "openbsd",
			old:   "bin/a\n@cwd ${LOCALBASE}/share/doc\nx\n@cwd ${LOCALBASE}\nlib/a\n",
			items: slices.Concat(files("bin/a", "lib/a", "lib/b", "share/doc/x"), []Item{{Kind: KindPrefix, Path: "/"}}, files("var/a", "var/b")),
			want:  "bin/a\n@cwd ${LOCALBASE}/share/doc\nx\n@cwd ${LOCALBASE}\nlib/a\nlib/b\n@cwd /\nvar/a\nvar/b\n",
			told:  "+ lib/b + /var/a + /var/b",
		},
	} {
		u, err := Update(parse(t, tt.format, tt.old), tt.items, []Variable{version})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := text(t, u.Document); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, tt.want)
		}
		var told []string
		for sign, remarks := range map[string][]Remark{"-": u.Gone, "+": u.Added, "=": u.Kept} {
			for _, r := range remarks {
				told = append(told, sign+" "+r.Path)
			}
		}
		if got := strings.Fields(strings.Join(told, " ")); len(got) != len(strings.Fields(tt.told)) {
			t.Errorf("%s: told %q, want %q", tt.name, told, tt.told)
		}
		for _, line := range told {
			if !strings.Contains(tt.told, line) {
				t.Errorf("%s: told %q, want %q", tt.name, line, tt.told)
			}
		}
	}
}

// TestUpdateOfRealLists brings each list up to date with its own entries, when
// one is missing and one is new: the rest must stay byte for byte.
func TestUpdateOfRealLists(t *testing.T) {
	for _, format := range []string{"pkgsrc", "freebsd", "openbsd"} {
		for name, s := range lists(t, format) {
			if len(s) > 30_000 {
				continue
			}
			doc := parse(t, format, s)
			items, err := doc.Items()
			if err != nil {
				t.Fatal(err)
			}
			u, err := Update(doc, items, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := text(t, u.Document); got != s {
				t.Errorf("%s: changed for nothing: %v %v", name, u.Gone, u.Added)
			}
			u, err = Update(doc, append(items, Item{Kind: KindFile, Path: "zzz/new"}), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := strings.Replace(text(t, u.Document), "zzz/new\n", "", 1); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(s, "\n") {
				t.Errorf("%s: more than a line was added", name)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	items := func(s string) []Item {
		items, err := parse(t, "freebsd", s).Items()
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	got := fmt.Sprintf("%q", DiffItems(items("a\nb\n@dir c\n%%X%%d\ne\n"), items("b\n@(,,600) c\n%%Y%%d\nf\n@cwd /\na\ne\n")))
	want := `["+ /a" "+ /e" "- a" "~ c: type, mode" "~ d: condition" "- e" "+ f"]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	a := captured("/p", "p/a", "p/b", "p/c", "p/d -> x", "etc/x")
	b := with(captured("/q", "q/a", "q/c", "q/d -> y", "q/e", "etc/x"), "q/c", func(e *plist.Entry) { e.UID, e.Mode = 7, e.Mode|0o22 })
	got = fmt.Sprintf("%q", DiffLists(a, with(b, "etc/x", func(e *plist.Entry) { e.Digest[0]++ })))
	want = `["~ /etc/x: content" "- b" "~ c: mode, owner" "~ d: content" "+ e"]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDiffItemsPrefix: a prefix of a list, taken back or before an absolute path, says
// where a path is and is no part of its name.
func TestDiffItemsPrefix(t *testing.T) {
	items := func(text string) []Item {
		got, err := parse(t, "freebsd", text).Items()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := DiffItems(items("@cwd /\nvar/db/a\n@cwd\nbin/a\n"), items("bin/a\n/var/db/a\n")); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := DiffItems(items("@cwd /x\na\n"), items("a\n")); len(got) != 2 {
		t.Errorf("%q", got)
	}
}
