package hashdiff

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/overlay"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// The command of these tests is this program: with disturbFirst in its environment
// it disturbs the forest in the root it runs in.
const (
	disturbFirst = "SANDBOX_INSTALL_TEST_DISTURB" // number of the first plot
	disturbRoot  = "SANDBOX_INSTALL_TEST_FOREST"  // where it is; /forest if not set
)

// plots is how many a test has.
const plots = 40

func TestMain(m *testing.M) {
	sandbox.Init()
	if s := os.Getenv(disturbFirst); s != "" {
		first, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			panic(err)
		}
		capturetest.Forest{First: first, Plots: plots}.Disturb(cmp.Or(os.Getenv(disturbRoot), "/forest"))
		return
	}
	need.OwnMounts()
	os.Exit(m.Run())
}

func forestOf(round uint64) capturetest.Forest {
	return capturetest.Forest{First: round * plots, Plots: plots}
}

// newRoot makes a root with a forest and this program, with what its loader needs.
func newRoot(t testing.TB, forest capturetest.Forest) string {
	t.Helper()
	root := t.TempDir()
	forestDir := filepath.Join(root, "forest")
	for _, dir := range []string{"forest", "tmp", "proc", "sys", "dev", "run"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	forest.Plant(t, forestDir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	install(t, root, self, "/self")
	return root
}

// install copies a program into a root, with the libraries it needs.
func install(t testing.TB, root, from, to string) {
	t.Helper()
	copyInto(t, root, from, to)
	out, err := exec.Command("ldd", from).CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("not a dynamic executable")) {
		t.Fatalf("ldd: %v\n%s", err, out)
	}
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(out), -1) {
		copyInto(t, root, lib, lib)
	}
}

func copyInto(t testing.TB, root, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(to)), 0o755), os.WriteFile(filepath.Join(root, to), b, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command is what disturbs the forest of a root.
func command(root string, forest capturetest.Forest) capture.Command {
	return capture.Command{
		Args: []string{"/self"}, Env: []string{disturbFirst + "=" + fmt.Sprint(forest.First)}, Dir: "/", Root: root,
		Stdout: os.Stderr, Stderr: os.Stderr,
	}
}

// captured runs a method and returns its list, times of the run made equal, and
// the tarball of it.
func captured(t *testing.T, m capture.Method, cmd capture.Command, since time.Time) (*plist.List, []byte) {
	t.Helper()
	result, err := m.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("%s: %v", m.Name(), err)
	}
	defer func() {
		if err := result.Close(); err != nil {
			t.Errorf("%s: close: %v", m.Name(), err)
		}
	}()
	if result.ExitCode != 0 {
		t.Fatalf("%s: exit status %d", m.Name(), result.ExitCode)
	}
	l := result.List
	l.ClampTimes(since)
	l.Name, l.Version, l.Prefix = "forest", "1", "/"
	var b bytes.Buffer
	if err := tarball.Write(&b, l, result.Tree, tarball.Options{}); err != nil {
		t.Errorf("%s: %v", m.Name(), err)
	}
	return l, b.Bytes()
}

// TestAgreesWithOverlay is law L3: the same list and the same tarball.
func TestAgreesWithOverlay(t *testing.T) {
	need.Root(t)
	if err := (overlay.Method{}).Probe(t.Context()); err != nil {
		need.Lacks(t, "overlay", err)
	}
	for round := range uint64(4) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			forest := forestOf(round)
			root := newRoot(t, forest)
			before := capturetest.Take(t, root)
			since := time.Now().Add(-time.Second)
			want, wantTar := captured(t, overlay.Method{}, command(root, forest), since)
			got, gotTar := captured(t, &Method{}, command(root, forest), since)
			sameLists(t, got, want)
			if !t.Failed() && !bytes.Equal(gotTar, wantTar) {
				t.Error("the lists are the same, and the tarballs are not")
			}
			for path, s := range capturetest.Take(t, root) { // law L1
				if s != before[path] {
					t.Errorf("%q changed: %+v, was %+v", path, s, before[path])
				}
			}
		})
	}
}

// sameLists compares two lists.
func sameLists(t *testing.T, got, want *plist.List) {
	t.Helper()
	if n := len(want.Packed().Entries); n < len(linkScenes) {
		t.Errorf("only %d entries: this tests nothing", n)
	}
	if fmt.Sprint(got.Notes) != fmt.Sprint(want.Notes) {
		t.Errorf("notes %v\nwant %v", got.Notes, want.Notes)
	}
	for _, pair := range []struct {
		who    string
		of, in *plist.List
	}{{"only hashdiff", got, want}, {"only overlay", want, got}} {
		for i := range pair.of.Entries {
			e := &pair.of.Entries[i]
			o := pair.in.Find(e.Path)
			if o == nil || !e.Same(o) {
				t.Errorf("%s: %+v", pair.who, *e)
			}
		}
	}
}
