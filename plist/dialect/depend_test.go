package dialect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

func names(dependencies []plist.Dependency) []string {
	var out []string
	for _, d := range dependencies {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Kind, d.Name, d.Version)))
	}
	return out
}

func TestDepend(t *testing.T) {
	l, c := installed("/p", map[string]string{
		"p/bin/a":          "#!/usr/bin/env -S FOO=1 perl -w\n",
		"p/bin/b":          "#! /p/bin/perl\n",
		"p/bin/c":          "#!/usr/bin/env helper\n",
		"p/bin/helper":     "#!/bin/sh",
		"p/share/not-exec": "#!/bin/ksh\n",
		"p/lib/pkgconfig/foo.pc": "prefix=/p\nName: foo\nVersion: 1.2\nRequires: bar >= 3, baz\n" +
			"Requires.private: foo2 = ${ver} qux\n",
		"p/lib/pkgconfig/bar.pc": "Name: bar\nVersion: ${v}\n",
	})
	for i := range l.Entries {
		if strings.HasPrefix(l.Entries[i].Path, "p/bin/") {
			l.Entries[i].Mode = 0o755
		}
	}
	facts, err := Inspect(l, c)
	if err != nil {
		t.Fatal(err)
	}
	facts.Depend(l)
	if got, want := names(l.Provides), []string{"pkg-config bar", "pkg-config foo = 1.2"}; !slices.Equal(got, want) {
		t.Errorf("provides %q, want %q", got, want)
	}
	want := []string{"command perl", "interpreter /bin/sh", "interpreter /p/bin/perl", "interpreter /usr/bin/env", "pkg-config baz", "pkg-config qux"}
	if got := names(l.Requires); !slices.Equal(got, want) {
		t.Errorf("requires %q, want %q", got, want)
	}
}

// TestDependELF lets readelf(1) say which symbol versions an object wants.
func TestDependELF(t *testing.T) {
	gcc, readelf := need.Program(t, "gcc"), need.Program(t, "readelf")
	dir := t.TempDir()
	source, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	if err := os.WriteFile(source, []byte("#include <stdio.h>\nint main(void){return puts(\"\");}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command(gcc, "-o", out, source, "-Wl,--no-as-needed", "-lm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	l, c := installed("/p", map[string]string{"p/a": string(b)})
	with(l, "p/a", func(e *plist.Entry) { e.Mode = 0o755 })
	facts, err := Inspect(l, c)
	if err != nil {
		t.Fatal(err)
	}
	facts.Depend(l)
	said, err := exec.Command(readelf, "-h", "-V", "-d", out).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	file := ""
	for _, m := range regexp.MustCompile(`File: (\S+)|Name: (\S+)\s+Flags`).FindAllStringSubmatch(string(said), -1) {
		if m[1] != "" {
			file = m[1]
			continue
		}
		want = append(want, "soname "+file+" "+m[2])
	}
	for _, m := range regexp.MustCompile(`Shared library: \[([^\]]+)\]`).FindAllStringSubmatch(string(said), -1) {
		if !strings.Contains(strings.Join(want, "\n"), "soname "+m[1]+" ") {
			want = append(want, "soname "+m[1])
		}
	}
	class := regexp.MustCompile(`Class:\s+(\S+)`).FindStringSubmatch(string(said))
	want = append(want, "interpreter "+facts["p/a"].Interp, "object "+class[1]+" "+facts["p/a"].Machine)
	slices.Sort(want)
	if got := names(l.Requires); !slices.Equal(got, want) {
		t.Errorf("requires %q, readelf says %q", got, want)
	}
	if err := Depend(l, content{}); err == nil {
		t.Error("a tree without the file is no error")
	}
	if err := Depend(l, c); err != nil || !slices.Equal(names(l.Requires), want) {
		t.Errorf("%v, requires %q, readelf says %q", err, l.Requires, want)
	}
}

// TestDependPE lets objdump(1) say which DLLs an image imports.
func TestDependPE(t *testing.T) {
	gcc, objdump := need.Program(t, "x86_64-w64-mingw32-gcc"), need.Program(t, "x86_64-w64-mingw32-objdump")
	dir := t.TempDir()
	source, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "Foo.DLL")
	if err := os.WriteFile(source, []byte("#include <windows.h>\nint f(void){return MessageBoxA(0,0,0,0)+GetACP();}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command(gcc, "-shared", "-o", out, source, "-luser32").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	l, c := installed("/p", map[string]string{"p/Foo.DLL": string(b), "p/cut.dll": string(b[:len(b)/3])})
	facts, err := Inspect(l, c)
	if err != nil {
		t.Fatal(err)
	}
	facts["p/cut.dll"] = nil // must only not crash
	facts.Depend(l)
	said, err := exec.Command(objdump, "-p", out).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`DLL Name: (\S+)`).FindAllStringSubmatch(string(said), -1) {
		want = append(want, "dll "+strings.ToLower(m[1]))
	}
	if strings.Contains(string(said), "pei-x86-64") {
		want = append(want, "object PE32+ x86_64")
	}
	slices.Sort(want)
	if got := names(l.Requires); len(want) < 4 || !slices.Equal(got, want) {
		t.Errorf("requires %q, objdump says %q", got, want)
	}
	if got := names(l.Provides); !slices.Equal(got, []string{"dll foo.dll"}) {
		t.Errorf("provides %q", got)
	}
	if fact := facts["p/Foo.DLL"]; fact.Format != "PE32+" || fact.Machine != "x86_64" {
		t.Errorf("%+v", fact)
	}
}

// TestDependCommand: a command is provided by what can be executed, whatever else has
// its name.
func TestDependCommand(t *testing.T) {
	l, c := installed("/p", map[string]string{"p/bin/tool": "#!/usr/bin/env node\n", "p/bin/other": "#!/usr/bin/env tool\n", "p/share/tool": "text", "p/share/node/": ""})
	for _, name := range []string{"p/bin/tool", "p/bin/other"} {
		l.Find(name).Mode = 0o755
	}
	if err := Depend(l, c); err != nil {
		t.Fatal(err)
	}
	if got := names(l.Requires); !slices.Equal(got, []string{"command node", "interpreter /usr/bin/env"}) {
		t.Errorf("requires %q", got)
	}
}

// TestNameOfDots: the samples of a package have no place that their directories lead to.
func TestNameOfDots(t *testing.T) {
	l := captured("/p", "p/etc/conf")
	l.Name = ".."
	if _, err := NewPort("openbsd", l, nil); err != nil {
		t.Error(err)
	}
}

func TestBuildInfo(t *testing.T) {
	l := captured("/p", "p/bin/a", "p/lib/libx.so -> libx.so.1.2", "p/lib/libx.so.1.2", "p/lib/plugin.so", "p/share/text")
	l.Requires = []plist.Dependency{{Kind: plist.DependencySoname, Name: "libc.so.6", Version: "V"}, {Kind: plist.DependencyCommand, Name: "perl"}, {Kind: plist.DependencyObject, Name: "ELF64", Version: "x86_64"}}
	facts := Facts{
		"p/bin/a": {Type: TypeProgram, Format: "ELF64"}, "p/lib/libx.so.1.2": {Type: TypeLibrary, Format: "ELF64"},
		"p/lib/plugin.so": {Type: TypePlugin, Format: "ELF64"}, "p/share/text": {Type: TypeMan},
	}
	want := []string{"OBJECT_FMT=ELF", "PROVIDES=/p/lib/libx.so", "PROVIDES=/p/lib/libx.so.1.2", "REQUIRES=libc.so.6"}
	if got := facts.BuildInfo(l); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAccounts(t *testing.T) {
	before := "root:x:0:0:root:/root:/bin/sh\nold:x:5:5::/:/bin/sh\n"
	after := before + "food:!:990:991:The Food, Daemon:/var/empty:/usr/sbin/nologin\nold:x:5:5:changed:/:/bin/sh\nbroken\n"
	l := captured("/p", "p/data")
	l.Accounts = slices.Concat(Accounts(plist.AccountUser, before, after), Accounts(plist.AccountGroup, "root:x:0:\n", "root:x:0:\nfoog:x:991:food\n"))
	if got := fmt.Sprint(l.Accounts); got != "[{user food:990:991:The Food, Daemon:/var/empty:/usr/sbin/nologin} {group foog:991:food}]" {
		t.Errorf("accounts %s", got)
	}
	l.Entries = append(l.Entries, captured("/p", "p/own").Entries...)
	with(l, "p/own", func(e *plist.Entry) { e.UID, e.GID, e.Mode = 990, 991, 0o640 })
	for tree, want := range map[string]string{
		"pkgsrc":  "@comment $NetBSD$\ndata\nown\nPKG_GECOS.food= The Food, Daemon|PKG_GID.foog?= 991|PKG_GROUPS+= foog|PKG_HOME.food= /var/empty|PKG_SHELL.food= /usr/sbin/nologin|PKG_UID.food?= 990|PKG_USERS+= food:foog|SPECIAL_PERMS+= own food foog 0640",
		"freebsd": "data\n@(food,foog,0640) own\nGROUPS+= foog # in GIDs foog:*:991:|USERS+= food # in UIDs food:*:990:991:daemon:0:0:The Food, Daemon:/var/empty:/usr/sbin/nologin",
		"openbsd": "@comment $OpenBSD: PLIST,v$\n@newgroup foog:991\n@newuser food:990:991:daemon:The Food, Daemon:/var/empty:/usr/sbin/nologin\ndata\n@mode 0640\n@owner food\n@group foog\nown\n",
	} {
		port, err := NewPort(tree, l, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := WriteItems(&b, tree, port.Items); err != nil {
			t.Fatal(err)
		}
		if got := b.String() + strings.Join(port.Makefile, "|"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tree, got, want)
		}
	}
}
