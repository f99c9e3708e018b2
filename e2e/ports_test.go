package e2e

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of testdata/ports anew; read the difference")

// versions are those of the installers whose lists are in testdata/ports, as the
// lists were checked: by hand, against the tree's rules and where it has the
// package against its own list.
var versions = map[string]string{"hello": "2.10", "zlib": "1.2.13", "bzip2": "1.0.8", "sudo": "1.9.13p3"}

// TestPorts captures installers and writes the list and the Makefile lines that a
// porter of each tree would commit.
func TestPorts(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		version, ok := versions[in.name]
		if !ok || !in.quick && !*all {
			continue
		}
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			loud(t, sandboxed(in.at(in.install), "--root", newRoot(t, in), "-o", out, "--name", in.name, "--version", version, "--prefix", "/usr/local"))
			tarball := filepath.Join(out, in.name+"-"+version+".tar.zst")
			for _, tree := range []string{"pkgsrc", "freebsd", "openbsd"} {
				comparePort(t, filepath.Join("testdata", "ports", in.name+"."+tree), portOf(t, tree, tarball))
			}
		})
	}
}

// portOf is the list that a tree wants, and behind an empty line its Makefile.
func portOf(t *testing.T, tree, tarball string) []byte {
	t.Helper()
	makefile := filepath.Join(t.TempDir(), "Makefile")
	var list bytes.Buffer
	cmd := exec.Command(binary, "plist", "port", "--plist-format", tree, "--makefile", makefile, tarball)
	cmd.Stdout = &list
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(makefile)
	if err != nil {
		t.Fatal(err)
	}
	checked := exec.Command(binary, "plist", "check", "--plist-format", tree)
	checked.Stdin = bytes.NewReader(list.Bytes())
	loud(t, checked)
	return append(append(list.Bytes(), '\n'), lines...)
}

func comparePort(t *testing.T, golden string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
	}
}

// TestMatrix captures an installation with an option on and off, and evaluates the
// merged list as the tree's framework does: it must be the list of each capture.
func TestMatrix(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	if !*all {
		t.Skip("builds the same thing twice: -all")
	}
	in := installers[0]
	out := t.TempDir()
	build := "./configure $nls && make clean && make && " + in.install
	loud(t, sandboxed(in.at(build), "--root", newRoot(t, in), "-o", out, "--name", in.name, "--version", versions[in.name],
		"--prefix", "/usr/local", "--option", "nls=--enable-nls,--disable-nls"))
	base := filepath.Join(out, in.name+"-"+versions[in.name])
	merged, err := os.ReadFile(base + ".plist")
	if err != nil {
		t.Fatal(err)
	}
	for tarball, replace := range map[string]string{base + "-nls.tar.zst": "", base + ".tar.zst": "@comment "} {
		got := strings.ReplaceAll(string(merged), "${PLIST.nls}", replace)
		got = regexp.MustCompile(`(?m)^@comment share.*\n`).ReplaceAllString(got, "")
		want, _, _ := strings.Cut(string(portOf(t, "pkgsrc", tarball)), "\n\n")
		if got != want+"\n" {
			t.Errorf("with %q for nls: got\n%s\nwant\n%s", replace, got, want)
		}
	}
	lines, err := os.ReadFile(base + ".mk")
	if err != nil {
		t.Fatal(err)
	}
	const want = "INFO_FILES= yes\nPKG_SUPPORTED_OPTIONS+= nls\nPLIST_VARS+= nls\n.include \"../../mk/bsd.options.mk\"\n" +
		".if !empty(PKG_OPTIONS:Mnls)\nPLIST.nls= yes\nUSE_PKGLOCALEDIR= yes\n.endif\n"
	if string(lines) != want {
		t.Errorf("Makefile: got\n%s\nwant\n%s", lines, want)
	}
}
