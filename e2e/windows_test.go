package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/internal/winetest"
)

// newWindows is a Windows whose drive C: holds the Windows binary and the tree
// "C:\Program Files". The judge sees it from outside, as files of this machine.
func newWindows(t *testing.T) *winetest.Wine {
	t.Helper()
	compiler := need.Program(t, "wine", "x86_64-w64-mingw32-gcc")
	w := winetest.New32(t)
	w.Run(t, "wineboot", "-i")
	output(t, ".", compiler, "-shared", "-O1", "-o", filepath.Join(w.Dir, `windows/system32/bcryptprimitives.dll`),
		"testdata/windows/bcryptprimitives.c", "-ladvapi32")
	build := exec.Command("go", "build", "-o", filepath.Join(w.Dir, "sandbox-install.exe"), "../cmd/sandbox-install")
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	loud(t, build)
	return w
}

const winBinary = `C:\sandbox-install.exe`

// lines are the lines of a Windows program's output, sorted.
func lines(out string) []string {
	found := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(found)
	return found
}

// TestWindows runs the Windows binary, and takes DLLs into a Windows.
func TestWindows(t *testing.T) {
	require(t, "root", "judges")
	t.Parallel()
	w := newWindows(t)
	t.Run("snapshot", func(t *testing.T) { winSnapshot(t, w) })
	t.Run("installer", func(t *testing.T) { winInstaller(t, w) })
	t.Run("rebase there", func(t *testing.T) { winRebaseThere(t, w) })
	t.Run("rebase", func(t *testing.T) { winRebase(t, w) })
}

// winSnapshot compares a tree with a snapshot of it that another way of writing its
// name leads to, and hashes nothing twice.
func winSnapshot(t *testing.T, w *winetest.Wine) {
	tree := mkdir(t, w.Dir, "Tree")
	output(t, tree, "sh", "-euc", `mkdir Sub; echo a >A.txt; ln A.txt other; echo b >Sub/b.txt; echo g >gone; echo r >"Read Me"`)
	time.Sleep(2100 * time.Millisecond) // no file is racily clean
	for _, want := range []string{"5 files read", "0 files read"} {
		cmd := w.Command(winBinary, "snapshot", "-o", `C:\one.snap`, `C:\Tree`)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q:\n%s", err, want, out)
		}
	}
	output(t, tree, "sh", "-euc", `echo aa >A.txt; rm gone; mv Sub/b.txt Sub/B.TXT; mkdir New; echo n >New/n; rm "Read Me"; mkdir "Read Me"`)
	want := []string{
		"A\t/Tree/New", "A\t/Tree/New/n", "A\t/Tree/Sub/B.TXT", "D\t/Tree/Sub/b.txt", "D\t/Tree/gone",
		"M\t/Tree/A.txt", "M\t/Tree/other", "T\t/Tree/Read Me",
	}
	for _, tree := range []string{`C:\Tree`, `c:\TREE`} {
		if got := lines(w.Run(t, winBinary, "diff", "--changes", `C:\one.snap`, tree)); !slices.Equal(got, want) {
			t.Errorf("diff with %s: %q\nwant %q", tree, got, want)
		}
	}
}

// winInstaller captures the installation of an MSI package, and one that overwrites
// and deletes, on the live system: what a native run does is in the list, and
// nothing of it stays.
func winInstaller(t *testing.T, w *winetest.Wine) {
	msi := newMSI(t, w)
	programs := filepath.Join(w.Dir, "Program Files")
	before := takePicture(t, programs).elsewhere()
	w.Run(t, "msiexec", "/i", msi, "/qn")
	truth := difference(before, takePicture(t, programs).elsewhere())
	if len(truth) < 5 {
		t.Fatalf("the installation did nothing: %v", truth)
	}
	w.Run(t, "msiexec", "/x", msi, "/qn")
	winCapture(t, w, programs, truth, "msiexec", "/i", msi, "/qn")

	output(t, mkdir(t, programs, "Old"), "sh", "-c", "echo 1 >a; ln a b; echo 3 >Case; echo 4 >fixed; chmod a-w fixed; mkdir dir; echo 5 >dir/f")
	old := filepath.Join(programs, "Old")
	const script = "cd /d \"C:\\Program Files\\Old\"\r\necho 2 > A\r\ndel /f /q fixed\r\nren case k\r\nren k CASE\r\nrmdir /s /q dir\r\necho 5 > dir\r\ndel b\r\ncopy a c\r\n"
	if err := os.WriteFile(filepath.Join(w.Dir, "old.bat"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	winCapture(t, w, old, map[string]change{
		"a": {op: "M"}, "b": {op: "D"}, "c": {op: "A"}, "fixed": {op: "D"}, "Case": {op: "D"}, "CASE": {op: "A"}, "dir": {op: "T"}, "dir/f": {op: "D"},
	}, "cmd", "/c", `C:\old.bat`)
}

// winCapture captures a command that changes what is in dir, a directory on C:.
func winCapture(t *testing.T, w *winetest.Wine, dir string, truth map[string]change, args ...string) {
	t.Helper()
	rel, err := filepath.Rel(w.Dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	out := mkdir(t, w.Dir, "out")
	output(t, dir, "find", ".", "-exec", "touch", "-h", "-d", "@1000000000.1234567", "{}", "+") // Windows counts by 100 ns
	before := takePicture(t, dir).elsewhere()
	w.Run(t, append([]string{
		winBinary, "run", "--method", "hashdiff", "--scope", `C:\` + strings.ReplaceAll(rel, "/", `\`), "--roll-back",
		"--name", "thing", "--version", "1", "-o", `C:\out`, "--include", "/**", "--",
	}, args...)...)
	samePicture(t, "places touched", before, takePicture(t, dir).elsewhere())
	got := make(map[string]string)
	for path, op := range printed(t, theFiles(t, out).tarball) {
		got[strings.TrimPrefix(path, rel+"/")] = op
	}
	compareChanges(t, truth, got)
	if left, err := filepath.Glob(filepath.Join(w.Dir, "users/*/Temp/sandbox-install*")); err != nil || left != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}

// newMSI makes a Windows installer package with the tools of msitools.
func newMSI(t *testing.T, w *winetest.Wine) string {
	t.Helper()
	need.Program(t, "wine", "wixl")
	dir := t.TempDir()
	output(t, ".", "cp", "testdata/windows/tool.wxs", dir)
	output(t, dir, "sh", "-euc", "seq 20000 >tool.exe; echo hello >readme.txt; seq 1000 >table.dat")
	output(t, dir, "wixl", "-a", "x64", "-o", filepath.Join(w.Dir, "tool.msi"), "tool.wxs")
	return `C:\tool.msi`
}
