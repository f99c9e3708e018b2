package dialect

import (
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

func files(names ...string) []Item {
	var items []Item
	for _, name := range names {
		items = append(items, Item{Kind: KindFile, Path: name})
	}
	return items
}

func paths(items []Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, expand(it.Path, "${", "}"))
	}
	return out
}

func TestSubstituteGuarded(t *testing.T) {
	vars := []Variable{
		{Name: "PKGNAME", Values: []string{"foo-1.2"}},
		{Name: "PKGVERSION", Values: []string{"1.2"}},
		{Name: "PYSITELIB", Values: []string{"lib/python3.11/site-packages"}, Dir: true},
		{Name: "PYVERSSUFFIX", Values: []string{"3.11"}},
		{Name: "MAJOR", Values: []string{"7"}},
		{Name: "A", Values: []string{"samevalue"}},
		{Name: "B", Values: []string{"samevalue"}},
	}
	for _, tt := range []struct {
		path, want string
		told       string // a word of what is left open
	}{
		{"share/foo-1.2/x", "share/${PKGNAME}/x", ""},
		{"share/bar-1.2/x-1.2.dat", "share/bar-${PKGVERSION}/x-${PKGVERSION}.dat", ""},
		{"share/foo1.2", "share/foo${PKGVERSION}", ""},
		{"share/11.2", "share/11.2", ""},
		{"share/1.20", "share/1.20", ""},
		{"share/1.2.3", "share/1.2.3", ""},
		{"share/3.1.2", "share/3.1.2", ""},
		{"share/1x2", "share/1x2", ""},
		{"share/1.2rc", "share/1.2rc", "part of a word"},
		{"lib/libfoo.so.1.2", "lib/libfoo.so.1.2", "the library's own"},
		{"lib/python3.11/site-packages/foo.py", "${PYSITELIB}/foo.py", ""},
		{"lib/python3.11/site-packagesx", "lib/python${PYVERSSUFFIX}/site-packagesx", ""},
		{"x/lib/python3.11/site-packages", "x/lib/python${PYVERSSUFFIX}/site-packages", ""},
		{"lib/x-7.0", "lib/x-7.0", ""},
		{"lib/x-7", "lib/x-7", "too short"},
		{"lib/samevalue", "lib/samevalue", "of A and of B"},
		{"lib/1.2\x00PKGVERSION\x00", "lib/${PKGVERSION}${PKGVERSION}", ""},
	} {
		items, open := Substitute(files(tt.path), nil, vars)
		if got := paths(items)[0]; got != tt.want {
			t.Errorf("%s became %s, want %s", tt.path, got, tt.want)
		}
		if tt.told == "" && len(open) > 0 || tt.told != "" && (len(open) != 1 || !strings.Contains(open[0].Text, tt.told)) {
			t.Errorf("%s: told %v, want %q", tt.path, open, tt.told)
		}
	}
}

func TestSubstituteByEvidence(t *testing.T) {
	vars := []Variable{
		{Name: "V", Values: []string{"1", "2"}},
		{Name: "P", Values: []string{"3.11", "3.12"}},
		{Name: "SAME", Values: []string{"constant", "constant"}},
	}
	a := files("always-1", "lib/libfoo.so.1", "lib/libbar.so.1", "share/1/1", "py3.11/constant", "only-1", "x1/1", "both-1", "odd-1-1", "w-1", "w-2")
	b := files("always-1", "lib/libfoo.so.2", "lib/libbar.so.1", "share/2/1", "py3.12/constant", "x2/2", "both-1", "both-2", "odd-1-2", "odd-2-1", "w-2")
	items, open := Substitute(a, b, vars)
	want := []string{"always-1", "lib/libfoo.so.${V}", "lib/libbar.so.1", "share/${V}/1", "py${P}/${SAME}", "only-1", "x${V}/${V}", "both-1", "odd-1-1", "w-1", "w-2"}
	if got := paths(items); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	var told []string
	for _, r := range open {
		told = append(told, r.Path+": "+r.Text)
	}
	if got := strings.Join(told, "\n"); got != "only-1: is only in the first capture\nodd-1-1: the second capture has more than one path that it may be there\nw-1: is only in the first capture\n"+
		"both-2: is only in the second capture\nodd-1-2: is only in the second capture\nodd-2-1: is only in the second capture" {
		t.Errorf("told\n%s", got)
	}
}

// TestSubstituteGivesBack expands the references again: nothing may be lost.
func TestSubstituteGivesBack(t *testing.T) {
	vars := []Variable{
		{Name: "A", Values: []string{"1.2"}},
		{Name: "B", Values: []string{"foo-1.2"}},
		{Name: "C", Values: []string{"share/foo"}, Dir: true},
	}
	values := strings.NewReplacer("${A}", "1.2", "${B}", "foo-1.2", "${C}", "share/foo")
	for _, text := range lists(t, "pkgsrc") {
		for line := range strings.Lines(text) {
			path := strings.TrimSpace(line) + "/share/foo/foo-1.2/1.2"
			if strings.Contains(path, "${") || strings.Contains(path, "\x00") {
				continue
			}
			items, _ := Substitute(files(path), nil, vars)
			if got := values.Replace(paths(items)[0]); got != path {
				t.Fatalf("%q became %q", path, got)
			}
		}
	}
}

func TestVariablesOf(t *testing.T) {
	port := func(tree string, l *plist.List) *Port {
		port, err := NewPort(tree, l, nil)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	a := captured("/p", "p/lib/python3.11/dist-packages/foo-1.0.egg-info/x", "p/libexec/x86_64-linux-gnu/y", "p/share/foo/z", "p/share/perl/5.36.0/a.pm", "p/lib/x86_64-linux-gnu/perl/5.36.0/b.pm")
	b := captured("/p", "p/lib/python3.12/site-packages/foo-2.0.egg-info/x", "p/libexec/aarch64-linux-gnu/y", "p/share/perl5/a.pm", "p/lib/x86_64-linux-gnu/perl5/5.38/b.pm")
	b.Version = "2.0"
	for tree, want := range map[string]string{
		"pkgsrc": "PKGNAME=foo-1.0,foo-2.0 PKGVERSION=1.0,2.0 PYSITELIB=lib/python3.11/site-packages,lib/python3.12/site-packages EGG_INFODIR=foo-1.0.egg-info,foo-2.0.egg-info " +
			"PYLIB=lib/python3.11,lib/python3.12 PYVERSSUFFIX=3.11,3.12 MACHINE_GNU_PLATFORM=x86_64-linux-gnu,aarch64-linux-gnu",
		"openbsd": "VERSION=1.0,2.0 MODPY_EGG_VERSION=1.0,2.0 MODPY_VERSION=3.11,3.12 P5SITE=libdata/perl5/site_perl,libdata/perl5/site_perl P5ARCH=libdata/perl5/site_perl/amd64-openbsd,libdata/perl5/site_perl/amd64-openbsd",
	} {
		var got []string
		for _, v := range VariablesOf(tree, port(tree, a), port(tree, b)) {
			if !strings.HasPrefix(v.Name, "PERL5") {
				got = append(got, v.Name+"="+strings.Join(v.Values, ","))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q\nwant %q", tree, got, want)
		}
	}
	egg := port("openbsd", captured("/p", "p/lib/python3.11/site-packages/foo-1.0.egg-info/x", "p/share/foo/1.0"))
	items, open := Substitute(egg.Items, nil, VariablesOf("openbsd", egg))
	if got := strings.Join(paths(items), " "); len(open) > 0 || !strings.Contains(got, "/foo-${MODPY_EGG_VERSION}.egg-info/x") || !strings.Contains(got, "share/foo/${VERSION}") {
		t.Errorf("of two variables with the same value: %s, %v", got, open)
	}
	if vars := VariablesOf("pkgsrc", port("pkgsrc", &plist.List{Prefix: "/"})); len(vars) != 0 {
		t.Errorf("a list without a name has %v", vars)
	}
}
