package dialect

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// captured makes a list of additions: a name that ends in "/" is a directory,
// "path -> target" a symlink.
func captured(prefix string, names ...string) *plist.List {
	l := &plist.List{Name: "foo", Version: "1.0", Prefix: prefix}
	for _, name := range names {
		e := plist.Entry{Op: plist.OpAdd, Path: name, Mode: 0o644, ModTime: time.Unix(1, 0)}
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			e.Path, e.Mode = dir, fs.ModeDir|0o755
		}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			e.Path, e.Mode, e.Link = link, fs.ModeSymlink|0o777, target
		}
		l.Entries = append(l.Entries, e)
	}
	l.Sort()
	return l
}

// with changes the entry of a path.
func with(l *plist.List, path string, change func(*plist.Entry)) *plist.List {
	change(l.Find(path))
	return l
}

func mustWrite(t *testing.T, format string, l *plist.List) string {
	t.Helper()
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, format, l); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWritePkgsrc(t *testing.T) {
	for _, tt := range []struct {
		name string
		list *plist.List
		want []string
	}{
		{"empty", captured("/usr/pkg"), nil},
		{"bytewise, not as a walk", captured("/usr/pkg", "usr/pkg/a/b", "usr/pkg/a-b", "usr/pkg/a/", "usr/pkg/B", "usr/pkg/"), []string{"B", "a-b", "a/b"}},
		{"no prefix", captured("/", "etc/", "etc/a", "bin/b"), []string{"bin/b", "etc/a"}},
		{"outside the prefix", captured("/usr/pkg", "etc/x", "usr/pkg/b", "usr/pkgs", "var/dbx/"), []string{"b", "@cwd /", "etc/x", "usr/pkgs", "@pkgdir var/dbx"}},
		{"empty directories", captured("/p", "p/", "p/a/", "p/a/b/", "p/c/", "p/c/d", "p/e/"), []string{"c/d", "@pkgdir e", "@pkgdir a/b"}},
		{"standard directories", captured("/p", "p/bin/", "p/share/", "p/share/locale/", "p/share/locale/de/", "p/share/foo/"), []string{"@pkgdir share/foo"}},
		{"a symlink", captured("/p", "p/a -> b"), []string{"a"}},
		{"a leading @", captured("/p", "p/@a", "p/a@"), []string{"./@a", "a@"}},
		{"a leading blank", captured("/p", "p/ a b"), []string{" a b"}},
		{"raw bytes", captured("/p", "p/\xff\x01\r."), []string{"\xff\x01\r."}},
		{"set-id", with(captured("/p", "p/a"), "p/a", func(e *plist.Entry) { e.Mode = fs.ModeSetuid | 0o755 }), []string{"@comment Makefile: SPECIAL_PERMS+= a ${REAL_ROOT_USER} ${REAL_ROOT_GROUP} 4755", "a"}},
		{
			"other owner", with(captured("/p", "p/a/", "p/a/b"), "p/a", func(e *plist.Entry) { e.UID, e.Mode = 7, fs.ModeDir|0o700 }),
			[]string{"a/b", "@comment Makefile: OWN_DIRS_PERMS+= a 7 ${REAL_ROOT_GROUP} 0700", "@pkgdir a"},
		},
		{"the only owner", with(captured("/p", "p/a"), "p/a", func(e *plist.Entry) { e.UID, e.GID = 7, 7 }), []string{"a"}},
		{
			"noise", with(captured("/p", "p/a/", "p/a/b", "p/c"), "p/a/b", func(e *plist.Entry) { e.Class = plist.ClassNoise }),
			[]string{"c", "@pkgdir a"},
		},
		{
			"deleted", with(captured("/p", "p/a", "p/b/"), "p/a", func(e *plist.Entry) { *e = plist.Entry{Op: plist.OpDelete, Path: e.Path} }),
			[]string{"@pkgdir b", "@comment deleted: p/a"},
		},
		{
			"written again", with(captured("/p", "p/a"), "p/a", func(e *plist.Entry) { e.Op, e.Changed = plist.OpModify, plist.ChangedTime }),
			[]string{"a"},
		},
		{
			"only its mode", with(captured("/p", "p/a\n"), "p/a\n", func(e *plist.Entry) { e.Op, e.Changed = plist.OpModify, plist.ChangedMode }),
			[]string{`@comment changed mode: "p/a\n" mode 0644 uid 0 gid 0`},
		},
		{
			"a directory that was there", with(captured("/p", "p/a/", "p/b"), "p/a", func(e *plist.Entry) { e.Op, e.Changed = plist.OpModify, plist.ChangedOwner }),
			[]string{"b", "@comment changed owner: p/a mode 0755 uid 0 gid 0"},
		},
		{
			"a directory that was a file", with(captured("/p", "p/a/"), "p/a", func(e *plist.Entry) { e.Op, e.Changed = plist.OpModify, plist.ChangedType }),
			[]string{"@pkgdir a"},
		},
	} {
		want := strings.Join(append([]string{"@comment $NetBSD$"}, tt.want...), "\n") + "\n"
		if got := mustWrite(t, "pkgsrc", tt.list); got != want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, want)
		}
	}
}

func TestWritePkgsrcRefuses(t *testing.T) {
	for _, name := range []string{"p/a\nb", "p/a ", "p/a\t", "p/a\r", "p/a\v", "p/${X}", "p/a${PLIST.x}b", "p/ d/"} {
		var b strings.Builder
		err := Write(&b, "pkgsrc", captured("/p", name))
		var refused *Unexpressible
		if !errors.As(err, &refused) || "p/"+refused.Entry != strings.TrimSuffix(name, "/") || refused.Format != "pkgsrc" {
			t.Errorf("%q: %v", name, err)
		}
		if b.Len() > 0 {
			t.Errorf("%q: half a list was written: %q", name, b.String())
		}
	}
}

func TestWriteNative(t *testing.T) {
	l := captured("/p", "p/a", "p/b ")
	got, err := plist.ReadNative(strings.NewReader(mustWrite(t, Native, l)))
	if err != nil || len(got.Entries) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Write(&strings.Builder{}, "rpm", l); err == nil || !strings.Contains(err.Error(), "pkgsrc") {
		t.Errorf("unknown format: %v", err)
	}
}
