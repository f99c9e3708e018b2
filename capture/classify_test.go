package capture

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// entry makes an entry from "OP PATH": a path that ends in / is a directory.
func entry(s string) plist.Entry {
	op, path, _ := strings.Cut(s, " ")
	e := plist.Entry{Path: strings.TrimSuffix(path, "/"), Mode: 0o644, ModTime: time.Unix(1, 0)}
	if strings.HasSuffix(path, "/") {
		e.Mode = fs.ModeDir | 0o755
	}
	switch op {
	case "A":
		e.Op = plist.OpAdd
	case "M":
		e.Op, e.Changed = plist.OpModify, plist.ChangedContent
	case "=":
		e.Op = plist.OpModify
	case "D":
		e = plist.Entry{Op: plist.OpDelete, Path: e.Path, Mode: e.Mode.Type()}
	}
	return e
}

func listOf(lines ...string) *plist.List {
	l := &plist.List{Prefix: "/"}
	for _, line := range lines {
		l.Entries = append(l.Entries, entry(line))
	}
	l.Sort()
	return l
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		entry  string
		policy Policy
		want   string // class and rule
	}{
		{"A usr/bin/hello", Policy{}, "changed "},
		{"A tmp/x", Policy{}, "noise tmp"},
		{"A tmpfoo", Policy{}, "changed "},
		{"D var/tmp/x", Policy{}, "noise tmp"},
		{"A tmp/inst/bin/x", Policy{Prefix: "/tmp/inst"}, "changed "},
		{"A tmp/inst/bin/x", Policy{Include: []string{"/tmp/inst/**"}}, "changed include"},
		{"A tmp/inst/bin/x", Policy{Include: []string{"/tmp/**"}, Exclude: []string{"/tmp/inst/**"}}, "noise exclude"},
		{"A usr/share/x.bak", Policy{Exclude: []string{"**/*.bak"}}, "noise exclude"},
		{"A root/.cache/go/x", Policy{}, "noise home"},
		{"A root/bin/x", Policy{}, "changed "},
		{"A home/me/.local/bin/x", Policy{Prefix: "/home/me/.local"}, "changed "},
		{"M etc/passwd", Policy{}, "shared accounts"},
		{"A .sandbox-install.plist", Policy{Prefix: "/"}, "shared package-database"},
		{"M etc/passwd-", Policy{}, "shared accounts"},
		{"A etc/.pwd.lock", Policy{}, "shared accounts"},
		{"A etc/passwd.conf", Policy{}, "changed "},
		{"M etc/passwd", Policy{Include: []string{"/etc/**"}}, "changed include"},
		{"M usr/local/share/info/dir", Policy{}, "shared info-dir"},
		{"M usr/local/share/info/dir", Policy{Prefix: "/usr/local"}, "shared info-dir"},
		{"A usr/lib/info/directory", Policy{}, "changed "},
		{"A etc/ssh/ssh_host_ed25519_key", Policy{}, "shared system-state"},
		{"A usr/local/etc/ssh_host_rsa_key.pub", Policy{Prefix: "/usr/local"}, "shared system-state"},
		{"A etc/ssh/ssh_host_keys.conf", Policy{}, "changed "},
		{"A var/lib/dbus/machine-id", Policy{}, "shared system-state"},
		{"A etc/ssl/certs/java/cacerts", Policy{}, "shared ca-certificates"},
		{"A usr/lib/python3/dist-packages/m/__pycache__/m.cpython-311.pyc", Policy{}, "shared python-bytecode"},
		{"A usr/local/.crates.toml", Policy{Prefix: "/usr/local"}, "shared cargo-crates"},
		{"A usr/lib/python3/dist-packages/m/__pycache__/", Policy{}, "shared python-bytecode"},
		{"M usr/share/icons/hicolor/icon-theme.cache", Policy{}, "shared icon-cache"},
		{"A usr/share/mime/packages/foo.xml", Policy{}, "changed "},
		{"A usr/share/mime/application/x-foo.xml", Policy{}, "shared mime-cache"},
		{"A usr/share/mime/application/", Policy{}, "shared mime-cache"},
		{"M lib/modules/6.1/modules.dep", Policy{}, "shared kernel-modules"},
		{"M usr/lib/modules/6.1/modules.dep.bin", Policy{}, "shared kernel-modules"},
		{"A usr/lib/modules/6.1/extra/x.ko", Policy{}, "changed "},
		{"A var/lib/dpkg/info/hello.list", Policy{}, "shared package-database"},
		{"A etc/foo.conf", Policy{Prefix: "/usr/local"}, "outside "},
		{"A usr/localfoo", Policy{Prefix: "/usr/local"}, "outside "},
		{"M .", Policy{}, "changed "},
		{"M .", Policy{Prefix: "/usr"}, "outside "},
		{"A src/x-1/install.log", Policy{BuildDirs: []string{"/src/x-1"}}, "noise build-directory"},
		{"A src/x-1/out/bin/x", Policy{BuildDirs: []string{"/src/x-1"}, Prefix: "/src/x-1/out"}, "changed "},
		{"= usr/bin/hello", Policy{}, "identical "},
		{"= tmp/x", Policy{}, "noise tmp"},
	} {
		l := listOf(tt.entry)
		Classify(l, tt.policy)
		if got := l.Entries[0].Class.String() + " " + l.Entries[0].Rule; got != tt.want {
			t.Errorf("%s %+v: %q, want %q", tt.entry, tt.policy, got, tt.want)
		}
	}
}

// A package can make the directories above what it holds.
func TestClassifyKeepsParents(t *testing.T) {
	l := listOf("A opt/", "A opt/foo/", "A opt/foo/x", "A opt/foo/y", "A opt/foo-bar/", "A tmp/d/", "A tmp/d/f")
	Classify(l, Policy{Prefix: "/opt/foo"})
	var packed []string
	for _, e := range l.Entries {
		if e.Packed() {
			packed = append(packed, e.Path+":"+e.Rule)
		}
	}
	if want := []string{"opt:parent", "opt/foo:", "opt/foo/x:", "opt/foo/y:"}; !slices.Equal(packed, want) {
		t.Errorf("packed %q, want %q", packed, want)
	}
}

func TestGuessPrefix(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{[]string{"A usr/local/bin/a", "A usr/local/share/b", "A etc/a.conf"}, "/usr/local"},
		{[]string{"A usr/bin/a", "A usr/share/b", "A usr/local/c"}, "/usr"},
		{[]string{"A opt/app/a", "A opt/app/b", "A usr/bin/app"}, "/opt/app"},
		{[]string{"A etc/a", "A srv/b", "A usr/bin/c"}, "/"},
		{[]string{"D usr/local/a"}, "/"},
		{nil, "/"},
	} {
		if got := GuessPrefix(listOf(tt.lines...)); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.lines, got, tt.want)
		}
	}
}

// Every shared rule tells what to do instead, and every name is one of a kind.
func TestRules(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range Rules() {
		if names[r.Name] {
			t.Errorf("rule %s: twice", r.Name)
		}
		names[r.Name] = true
		if (r.Class == plist.ClassShared) != (r.Action != "") {
			t.Errorf("rule %s: class %v with action %q", r.Name, r.Class, r.Action)
		}
		if err := (&Policy{Include: r.Globs}).Check(); err != nil {
			t.Errorf("rule %s: %v", r.Name, err)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	l := &plist.List{}
	for i := range 100_000 {
		l.Entries = append(l.Entries, entry(fmt.Sprintf("A usr/share/doc/package/html/chapter%03d/page%03d.html", i/1000, i%1000)))
	}
	for b.Loop() {
		Classify(l, Policy{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/entry")
}
