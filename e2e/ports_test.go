package e2e

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
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
