package capturetest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// provenanceBefore is what the script of Provenance finds.
const provenanceBefore = `mkdir old; echo 1 >old/kept; echo 1 >old/edited; echo 1 >gone; echo 1 >linked; ln linked link; echo 1 >two; echo 1 >one; ln -s old way`

// provenanceScript has files written by many programs: by descriptors, through links,
// in directories that are renamed before and after, by processes that others have left.
const provenanceScript = `
	mkdir a
	echo x >a/by-shell
	cp a/by-shell a/by-cp
	mv a b
	echo x >>b/by-cp
	rm gone
	ln b/by-shell b/by-ln
	chmod 600 two
	touch -h one
	chmod 600 b/by-cp
	truncate -s 0 way/edited
	sh -c 'sh -c "echo x; true" >b/by-grandchild; true'
	env sh -c 'mkdir c; cd c; mkdir -p d/e; cp ../linked d/e/../f'
	mv old new
	( cd new; exec sh -c 'echo y >by-exec; true' )
	sh -c 'exec 5<>b/by-fd; truncate -s 1 /dev/fd/5; true'
`

// provenance says who wrote what, the writer first.
var provenance = map[string]string{
	"a": "", "b": "mv sh", "b/by-shell": "sh", "b/by-cp": "sh", "gone": "rm sh", "b/by-ln": "ln sh", "two": "chmod sh",
	"one": "touch sh", "new": "mv sh", "new/edited": "truncate sh", "new/kept": "", "b/by-grandchild": "sh sh",
	"c": "mkdir sh sh", "c/d": "mkdir sh sh", "c/d/e": "mkdir sh sh", "c/d/f": "cp sh sh", "new/by-exec": "sh sh", "b/by-fd": "truncate sh sh",
	"old": "mv sh",
}

// Provenance captures a script and compares who wrote what. A method that can not tell
// says so.
func Provenance(t *testing.T, m capture.Method, tells bool) {
	need.Root(t)
	if err := m.Probe(t.Context()); err != nil {
		need.Lacks(t, m.Name(), err)
	}
	dir := t.TempDir()
	before := exec.Command("sh", "-ec", provenanceBefore)
	before.Dir = dir
	if out, err := before.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := m.Run(t.Context(), capture.Command{
		Args: []string{"sh", "-ec", provenanceScript}, Env: os.Environ(), Dir: dir, Stdout: os.Stderr, Stderr: os.Stderr, Provenance: true,
	})
	if !tells {
		if _, ok := errors.AsType[*capture.Unavailable](err); !ok {
			t.Errorf("%v, want that it can not tell", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if r.ExitCode != 0 {
		t.Errorf("exit status %d", r.ExitCode)
	}
	want := maps.Clone(provenance)
	if m.Name() == "rootless" { // where mv(1) has to copy an old directory
		want["new/edited"], want["new/kept"] = "mv sh", "mv sh"
	}
	for _, e := range within(t, r.List, strings.TrimPrefix(dir, "/")).Entries {
		by, known := want[e.Path]
		if got := strings.Join(e.By, " "); got != by && known {
			t.Errorf("%q was written by %q, want %q", e.Path, got, by)
		}
		delete(want, e.Path)
	}
	for path, by := range want {
		if by != "" {
			t.Error(fmt.Errorf("%q is not listed", path))
		}
	}
}
