package capturetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A Scene is what was there, and what an installation does to it. Both are done
// in a directory of their own, by the test's program, started anew.
type Scene struct {
	Name   string
	Before []Verb
	Run    []Verb

	// Shelf, if not "", is where inside the directory another file system is
	// mounted for the scene.
	Shelf string

	// FileMount, if not empty, is a file and another one on which it is mounted,
	// as containers do it with /etc/hosts.
	FileMount [2]string

	// Notes are the kinds of notes that the result must have.
	Notes []plist.NoteKind

	// Unsure are kinds of notes that a method, named as in Except, must have beside those,
	// since it can not tell what it sees from what would be a loss.
	Unsure map[string]plist.NoteKind

	// Needs is a program without which the scene can not be performed.
	Needs string

	// Except tells of the methods, by name, that can not get it right, and why. What
	// stands behind a comma in a name is a variant, which may have reasons of its own.
	Except map[string]string
}

// except returns why a method can not get the scene right; "" if it must.
func (s *Scene) except(method string) string { return of(s.Except, method) }

// of returns what there is for a method, or else for that of which it is a variant.
func of[V comparable](methods map[string]V, method string) V {
	var none V
	v := methods[method]
	for i := strings.LastIndex(method, ","); v == none && i >= 0; i = strings.LastIndex(method, ",") {
		method = method[:i]
		v = methods[method]
	}
	return v
}

// Why a method without privilege can not get a scene right, be it an overlay in a user
// namespace or, with the same limits, a redirection.
const (
	noRedirect = "without privilege an overlay can not rename a directory that was there before: EXDEV, as across file systems"
	noIndex    = "without privilege an overlay has no index: the names of a file that was there before part at its first change, and a note says so"
	noTrusted  = "without privilege nobody has attributes trusted.*, or security.* but for capabilities"
	noOthers   = "there is but one id inside, and nobody else to become"
	noInherit  = "a group that is only believed is not inherited by what is made in its directory"
	noOwner    = "what copies a file sees that root owns it, and not who is believed to"
	noSetID    = "without privilege a write takes set-id bits away, as anybody's does but real root's"
	noClosed   = "what is closed to the user outside can not be read inside"
	noFlags    = "only real root sets these flags"
	noHandles  = "without privilege there are no file handles (open_by_handle_at(2))"
	noDeep     = "a path with that of the staging directory before it must be shorter than PATH_MAX"
)

// These tell the test's program that it is to perform a scene.
const (
	sceneVariable = "CAPTURETEST_SCENE"
	partVariable  = "CAPTURETEST_PART" // "before" or "run"
)

// provenanceVariable has all scenes captured with provenance, which is to change nothing.
const provenanceVariable = "CAPTURETEST_PROVENANCE"

// badScene is the exit status of a scene in which a verb failed.
const badScene = 99

// The program of a test that imports this package is also the command that its
// scenes capture. It is one before any test and any TestMain has begun.
func init() {
	name, ok := os.LookupEnv(sceneVariable)
	if !ok {
		return
	}
	i := slices.IndexFunc(scenes, func(s Scene) bool { return s.Name == name })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "no scene %q\n", name)
		os.Exit(2)
	}
	verbs := scenes[i].Run
	if os.Getenv(partVariable) == "before" {
		verbs = append(slices.Clone(scenes[i].Before), Age)
	}
	if err := perform(verbs); err != nil {
		fmt.Fprintf(os.Stderr, "scene %q: %v\n", name, err)
		os.Exit(badScene)
	}
	os.Exit(0)
}

// Run runs all scenes under a method; with -short, every fifth. A method that has a method MakesAnew puts a live
// tree back after the run: inode numbers may be others then, but not who shares one.
func Run(t *testing.T, m capture.Method) { RunSome(t, m, nil) }

// RunSome runs some scenes, by name; nil are all. With -short it runs every fifth
// of them.
func RunSome(t *testing.T, m capture.Method, names []string) {
	need.Root(t)
	if err := m.Probe(t.Context()); err != nil {
		need.Lacks(t, m.Name(), err)
	}
	for _, name := range names {
		if !slices.ContainsFunc(scenes, func(s Scene) bool { return s.Name == name }) {
			t.Errorf("no scene %q", name)
		}
	}
	chosen := 0
	for _, s := range scenes {
		if names != nil && !slices.Contains(names, s.Name) {
			continue
		}
		if chosen++; testing.Short() && chosen%5 != 1 {
			continue
		}
		if why := s.except(m.Name()); why != "" {
			t.Logf("%s, but not under %s: %s", s.Name, m.Name(), why)
			continue
		}
		t.Run(s.Name, func(t *testing.T) { s.test(t, m) })
	}
}

// test performs a scene natively in one directory and captured in another, and
// compares.
func (s *Scene) test(t *testing.T, m capture.Method) {
	if _, err := exec.LookPath(cmp.Or(s.Needs, "sh")); err != nil {
		need.Lacks(t, s.Needs, err)
	}
	native, captured := s.stage(t), s.stage(t)
	j := Judge{Before: Take(t, native), Since: time.Now().Add(-time.Minute)}
	want := s.native(t, native, "run")
	if want == badScene {
		t.Error("the scene can not be performed even natively")
	}
	j.After = Take(t, native)

	untouched := Take(t, captured)
	r := s.captured(t, m, captured)
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if r.ExitCode != want {
		t.Errorf("exit status %d, and natively %d", r.ExitCode, want)
	}
	s.checkNotes(t, m, r.List.Notes)
	dir := strings.TrimPrefix(captured, "/")
	j.Check(t, within(t, r.List, dir), subtree{r.Tree, dir})
	now := Take(t, captured)
	if _, ok := m.(interface{ MakesAnew() }); ok {
		now.forgetInodes()
		untouched.forgetInodes()
	}
	if !maps.Equal(now, untouched) {
		t.Errorf("the capture touched what it captured:\n%v\nwas\n%v", now, untouched)
	}
}

// forgetInodes names each inode after the first of its paths.
func (p Picture) forgetInodes() {
	first := make(map[string]string)
	for _, path := range slices.Sorted(maps.Keys(p)) {
		p.update(path, func(s *Shot) {
			if _, ok := first[s.Inode]; !ok {
				first[s.Inode] = path
			}
			s.Inode = first[s.Inode]
		})
	}
}

// stage makes a directory as it is before the scene. Its name has what a mount
// option must not have.
func (s *Scene) stage(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), `a:b,c\d e`)
	if err := os.MkdirAll(filepath.Join(dir, s.Shelf), 0o755); err != nil {
		t.Fatal(err)
	}
	if s.Needs == "chattr" { // or the directory could not be removed
		t.Cleanup(func() { output(t, dir, "", "chattr", "-R", "-ia", ".") })
	}
	if s.Shelf != "" {
		mount(t, "shelf", filepath.Join(dir, s.Shelf), "tmpfs", 0)
	}
	if status := s.native(t, dir, "before"); status != 0 {
		t.Fatalf("setting the scene: exit status %d", status)
	}
	if s.FileMount[0] != "" {
		mount(t, filepath.Join(dir, s.FileMount[0]), filepath.Join(dir, s.FileMount[1]), "", syscall.MS_BIND)
	}
	return dir
}

// mount mounts something until the test ends.
func mount(t *testing.T, source, target, fstype string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount(source, target, fstype, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// native performs a part of the scene without any capture, and returns its exit
// status.
func (s *Scene) native(t *testing.T, dir, part string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Env = dir, s.env(part)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// Everything the scene leaves running belongs to it: wait for its end.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = cmd.Wait()
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("a scene wrote to a descriptor that is not its own")
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func (s *Scene) env(part string) []string {
	return append(os.Environ(), sceneVariable+"="+s.Name, partVariable+"="+part)
}

// captured performs the scene under the method.
func (s *Scene) captured(t *testing.T, m capture.Method, dir string) *capture.Result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := m.Run(ctx, capture.Command{
		Args: []string{self}, Env: s.env("run"), Dir: dir,
		Stdin: null, Stdout: os.Stderr, Stderr: os.Stderr,
		Provenance: os.Getenv(provenanceVariable) != "",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkNotes wants the notes that the scene is to have, and no other of a kind
// that only a scene can give rise to.
func (s *Scene) checkNotes(t *testing.T, m capture.Method, notes []plist.Note) {
	t.Helper()
	for _, kind := range []plist.NoteKind{plist.NoteLost, plist.NoteOutlived, plist.NoteForeign} {
		var got []plist.Note
		for _, n := range notes {
			if n.Kind == kind {
				got = append(got, n)
			}
		}
		if want := slices.Contains(s.Notes, kind) || of(s.Unsure, m.Name()) == kind; (len(got) > 0) != want {
			t.Errorf("notes of kind %s: %q, want some: %v", kind, got, want)
		}
	}
}

// within cuts a list down to a directory, and complains about all that is
// elsewhere.
func within(t *testing.T, l *plist.List, dir string) *plist.List {
	t.Helper()
	inside := func(path string) string {
		if path == dir {
			return "."
		}
		return strings.TrimPrefix(path, dir+"/")
	}
	out := &plist.List{}
	for _, e := range l.Entries {
		if !plist.Within(e.Path, dir) {
			t.Errorf("%q: an entry outside of the scene", e.Path)
			continue
		}
		e.Path = inside(e.Path)
		if e.IsHardlink() {
			e.Link = inside(e.Link)
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}

// A subtree is a directory of a tree.
type subtree struct {
	plist.Tree
	dir string
}

func (s subtree) Open(path string) (plist.File, error) { return s.Tree.Open(s.dir + "/" + path) }
