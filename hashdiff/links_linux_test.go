package hashdiff

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/overlay"
)

// linkScenes are what can happen to files of several names. Lists are printed as in
// "links b = a": what happened, the path, and the first name.
var linkScenes = []struct {
	name   string
	before string // shell, run in an empty directory
	script string
	want   string
}{
	{"a new name", "echo x >a", "ln a b", "links a; add b = a"},
	{"a name goes", "echo x >a; ln a b", "rm a", "delete a"},
	{"a name is renamed", "echo x >a; ln a b; ln a c", "mv b d", "links a; delete b; links c = a; add d = a"},
	{"written through one name", "echo x >a; ln a b", "echo yy >>a; touch -d @9 a", "content,time a; content,time b = a"},
	{"replaced by a copy", "echo x >a; ln a b", "cp -p b c; mv c b", "links b"},
	{"two become one", "echo x >a; cp -p a b", "ln -f a b", "links a; links b = a"},
	{"a copy is made a link", "echo x >a; ln a b; cp -p a c", "ln -f c b", "links b; links c = b"},
	{"nothing happens", "echo x >a; ln a b", "cat a b >/dev/null", ""},
	{"chmod to the same", "echo x >a", "chmod 644 a", ""},
	{"made and removed", "echo x >a", "ln a b; rm b", ""},
	{"renamed to and fro", "ln -s x a; echo x >b", "mv a c; mv c a; mv b c; mv c b", ""},
	{"replaced by the same", "echo x >a", "cp -p a b; mv b a", "identical a"},
	{"made again as it was", "echo x >a; touch -d @9 a", "rm a; echo x >a; touch -d @9 a", "identical a"},
}

func TestHardLinks(t *testing.T) {
	for _, tt := range linkScenes {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			shell(t, dir, "umask 022; "+tt.before)
			before := scanAll(t, dir)
			j := &capturetest.Judge{Before: capturetest.Take(t, dir)}
			shell(t, dir, tt.script)
			j.After = capturetest.Take(t, dir)
			l, err := Diff(&slice{before}, &slice{scanAll(t, dir)})
			if err != nil {
				t.Fatal(err)
			}
			j.Check(t, l, openTree(t, dir))
			var got []string
			for _, e := range l.Entries {
				word := e.Changed.String()
				switch {
				case e.Changed == 0 && e.Packed():
					word = map[bool]string{true: "delete", false: "add"}[!e.Described()]
				case e.Changed == 0:
					word = e.Class.String()
				}
				if e.IsHardlink() {
					e.Path += " = " + e.Link
				}
				got = append(got, word+" "+e.Path)
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func shell(t testing.TB, dir, script string) {
	t.Helper()
	cmd := command("", capturetest.Forest{})
	cmd.Args, cmd.Env, cmd.Dir = []string{"sh", "-euc", script}, os.Environ(), filepath.Clean(dir)
	e, err := execute(t.Context(), cmd, "")
	if err != nil || e.code != 0 {
		t.Fatalf("%s: %v, %+v", script, err, e)
	}
}

// TestScenesAgree is law L3 for the same scenes.
func TestScenesAgree(t *testing.T) {
	need.Root(t)
	root := newRoot(t, forestOf(0))
	for _, tool := range []string{"sh", "ln", "rm", "mv", "cp", "touch", "chmod", "cat"} {
		name, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		install(t, root, name, "/bin/"+tool)
	}
	var script strings.Builder
	for i, tt := range linkScenes {
		dir := fmt.Sprintf("/forest/scene%d", i)
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		shell(t, root+dir, "umask 022; "+tt.before)
		fmt.Fprintf(&script, "(cd %s; %s)\n", dir, tt.script)
	}
	since := time.Now().Add(-time.Second)
	cmd := command(root, capturetest.Forest{})
	cmd.Args, cmd.Env = []string{"sh", "-euc", script.String()}, []string{"PATH=/bin"}
	want, wantTar := captured(t, overlay.Method{}, cmd, since)
	got, gotTar := captured(t, &Method{}, cmd, since)
	sameLists(t, got, want)
	if !t.Failed() && !bytes.Equal(gotTar, wantTar) {
		t.Error("the lists are the same, and the tarballs are not")
	}
}
