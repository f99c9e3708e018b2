package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/internal/winetest"
)

// winRebase takes DLLs from Windows installers to a running process: two installers
// bring the same four, are captured with --rebase-db, and their packages put into a
// Windows, which is moved for that. Its loader moves none of them.
func winRebase(t *testing.T, w *winetest.Wine) {
	require(t, "overlay")
	b := newRebaseBed(t, w)
	w.Stop(t)
	programs := filepath.Join(w.Dir, "Program Files")
	before := takePicture(t, programs)
	two := b.capture("Two", `C:\two.exe`)
	three := b.capture("Three", "msiexec", "/i", `C:\three.msi`, "/qn")
	samePicture(t, "places touched", before, takePicture(t, programs))

	prefix := filepath.Dir(w.Dir)
	mkdir(t, b.root, filepath.Dir(prefix))
	w.Move(t, filepath.Join(b.root, prefix))
	loud(t, b.ours("unpack", two))
	loud(t, b.ours("unpack", three))
	programs = filepath.Join(w.Dir, "Program Files")
	b.load(6, filepath.Join(programs, "Two"), filepath.Join(programs, "Three"))
	if packages, database := b.check(); strings.Count(packages, "rebased\t") != 6 || database != "" {
		t.Errorf("check:\n%s\nrebase check:\n%s", packages, database)
	}
	b.spoil("Three/b64.dll")
	loud(t, b.ours("remove", "Two"))
	for _, name := range b.recorded() {
		if !strings.Contains(name, "/Three/") {
			t.Errorf("%s is still recorded", name)
		}
	}
	loud(t, b.ours("remove", "Three"))
	if got := b.recorded(); len(got) != 0 {
		t.Errorf("still recorded: %q", got)
	}
}

// winRebaseThere has the Windows binary move DLLs, and move them back.
func winRebaseThere(t *testing.T, w *winetest.Wine) {
	b := newRebaseBed(t, w)
	dir := mkdir(t, w.Dir, "dlls")
	output(t, b.dir, "sh", "-c", `cp *.dll "$0"`, dir)
	rebase := func(verb string, args ...string) {
		t.Helper()
		w.Run(t, append([]string{winBinary, "rebase", verb, "--db", `C:\rebase.db`, "--root", `C:\`}, args...)...)
	}
	rebase("apply", "--target", "wine", `C:\dlls`)
	b.load(2, dir)
	rebase("check")
	rebase("undo", "--all")
	output(t, dir, "sh", "-euc", `for f in *; do cmp "$f" "$0/$f"; done`, b.dir)
}

// A rebaseBed is a Windows with two installers on its drive C:, a root to unpack
// into, and a database.
type rebaseBed struct {
	*testing.T
	w        *winetest.Wine
	dir      string // of the DLLs as they are in the installers
	root, db string
}

// newRebaseBed compiles two DLLs for each width that want the same base, and packs
// them into installers with NSIS and msitools.
func newRebaseBed(t *testing.T, w *winetest.Wine) *rebaseBed {
	t.Helper()
	b := &rebaseBed{t, w, t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "db")}
	const sources = "../rebase/testdata/wine/"
	for _, c := range []struct{ width, compiler, base, entry string }{
		{"32", "i686-w64-mingw32-gcc", "0x34000000", "_DllMain@12"},
		{"64", "x86_64-w64-mingw32-gcc", "0x340000000", "DllMain"},
	} {
		compiler := need.Program(t, "mingw", c.compiler)
		output(t, ".", compiler, "-O1", "-o", filepath.Join(w.Dir, "loader"+c.width+".exe"), sources+"loader.c")
		for i, name := range []string{"a", "b"} {
			output(t, ".", compiler, "-shared", "-O1", fmt.Sprintf("-DNUMBER=%d", i+1), "-nostdlib", "-Wl,-e,"+c.entry,
				"-Wl,--image-base,"+c.base, "-o", filepath.Join(b.dir, name+c.width+".dll"), sources+"answer.c")
		}
	}
	output(t, ".", need.Program(t, "nsis", "makensis"), "-V2", "-DDIR="+b.dir, "-DOUT="+filepath.Join(w.Dir, "two.exe"), "testdata/windows/two.nsi")
	output(t, ".", "cp", "testdata/windows/three.wxs", b.dir)
	output(t, b.dir, need.Program(t, "wine", "wixl"), "-a", "x64", "-o", filepath.Join(w.Dir, "three.msi"), "three.wxs")
	return b
}

// capture captures an installer, and returns the tarball.
func (b *rebaseBed) capture(name string, args ...string) string {
	b.Helper()
	installer, out := b.w.Command(args...), b.TempDir()
	cmd := exec.Command(binary, append([]string{
		"run", "--method", "overlay", "--name", name, "--version", "1", "-o", out, "--rebase-db", b.db, "--rebase-target", "wine",
		"--include", filepath.Join(b.w.Dir, "Program Files", name) + "{,/**}", "--",
	}, installer.Args...)...)
	cmd.Env = append(installer.Env, "TMPDIR="+staging)
	loud(b, cmd)
	return filepath.Join(out, name+"-1.tar.zst")
}

func (b *rebaseBed) ours(verb, arg string) *exec.Cmd {
	return ours(b.root, verb, "--rebase-db", b.db, arg)
}

// check is both checks: that of the packages, which prints all it sees, and that
// of the database.
func (b *rebaseBed) check() (packages, database string) {
	b.Helper()
	one, err := ours(b.root, "check", "--all").CombinedOutput()
	if err != nil {
		b.Logf("check: %v", err)
	}
	two, err := exec.Command(binary, "rebase", "check", "--db", b.db, "--root", b.root).CombinedOutput()
	if err != nil {
		b.Logf("rebase check: %v", err)
	}
	return string(one), string(two)
}

// load loads the DLLs in some directories, those of a width into one process. Where
// they lie is where their headers say, they answer right, and so many of them have
// another base than in the installers.
func (b *rebaseBed) load(moved int, dirs ...string) {
	b.Helper()
	answers := map[string]string{"a": "103", "b": "206"}
	for _, width := range []string{"32", "64"} {
		args, want := []string{`C:\loader` + width + ".exe"}, ""
		for _, dir := range dirs {
			for _, name := range []string{"a", "b"} {
				file := filepath.Join(dir, name+width+".dll")
				args = append(args, file)
				base := b.imageBase(file)
				want += base + " " + answers[name] + "\n"
				if base != b.imageBase(filepath.Join(b.dir, name+width+".dll")) {
					moved--
				}
			}
		}
		if got := b.w.Run(b, args...); got != want {
			b.Errorf("loaded at, and answered:\n%swant\n%s", got, want)
		}
	}
	if moved != 0 {
		b.Errorf("%d more than these should have been moved", moved)
	}
}

// imageBase is the base in a file's header, as objdump prints it.
func (b *rebaseBed) imageBase(file string) string {
	b.Helper()
	for line := range strings.Lines(output(b, ".", "objdump", "-p", file)) {
		if base, ok := strings.CutPrefix(line, "ImageBase"); ok {
			return strings.TrimLeft(strings.TrimSpace(base), "0")
		}
	}
	b.Fatalf("%s: no ImageBase", file)
	return ""
}

// spoil changes one byte of an image that was moved, which is something else than
// to have moved it.
func (b *rebaseBed) spoil(name string) {
	b.Helper()
	file := filepath.Join(b.w.Dir, "Program Files", name)
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	content[len(content)-1]++
	if err := os.WriteFile(file, content, 0o755); err != nil {
		b.Fatal(err)
	}
	packages, database := b.check()
	if strings.Count(packages, "rebased\t") != 5 || !strings.Contains(packages, "content,time\t") || !strings.HasPrefix(database, "modified ") || !strings.Contains(database, name) {
		b.Errorf("check:\n%s\nrebase check:\n%s", packages, database)
	}
	content[len(content)-1]--
	if err := os.WriteFile(file, content, 0o755); err != nil {
		b.Fatal(err)
	}
}

// recorded are the names in the database.
func (b *rebaseBed) recorded() []string {
	b.Helper()
	var info struct{ Images []struct{ Name string } }
	if err := json.Unmarshal([]byte(output(b, ".", binary, "rebase", "info", "--json", "--db", b.db)), &info); err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, image := range info.Images {
		names = append(names, image.Name)
	}
	return names
}
