package overlay

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// summary tells of each entry what was done and to which path.
func summary(l *plist.List) []string {
	var lines []string
	for _, e := range l.Entries {
		op := map[plist.Op]string{plist.OpAdd: "A", plist.OpModify: "M", plist.OpDelete: "D"}[e.Op]
		if e.Changed != 0 {
			op += ":" + e.Changed.String()
		}
		if e.Class == plist.ClassIdentical {
			op = "="
		}
		lines = append(lines, op+" "+e.Path)
	}
	return lines
}

func expect(t *testing.T, l *plist.List, want ...string) {
	t.Helper()
	if got := summary(l); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDeep has a tree whose paths are longer than PATH_MAX, and deeper than a
// process may have files open.
func TestDeep(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 200, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	const depth = 300
	const step = "/a-name-to-be-repeated"
	lower := t.TempDir()
	deep(t, lower, "old"+strings.Repeat(step, depth-1), "echo 1 >a; ln a b; echo 2 >c")
	deep(t, lower, "gone"+strings.Repeat(step, depth-1), "")
	u := newUnion(t, lower, t.TempDir(), runOptions)
	deep(t, u.mergedDir, "old"+strings.Repeat(step, depth-1), "echo 22 >b; rm c")
	deep(t, u.mergedDir, "new"+strings.Repeat(step, depth-1), "echo 3 >a")
	shell(t, u.mergedDir, "rm -r gone")

	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	var want []string
	for n := 1; n <= depth; n++ {
		want = append(want, "D gone"+strings.Repeat(step, n-1))
	}
	for n := 1; n <= depth; n++ {
		want = append(want, "A new"+strings.Repeat(step, n-1))
	}
	bottom := strings.Repeat(step, depth-1) + "/"
	want = append(want, "A new"+bottom+"a", "M:content,time old"+bottom+"a", "M:content,time old"+bottom+"b", "D old"+bottom+"c")
	expect(t, list, want...)
	f, err := tree.Open("old" + bottom + "a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "22\n" {
		t.Errorf("read %q, %v", text, err)
	}
}

// deep makes directories in each other and runs a script in the last.
func deep(t *testing.T, root, path, script string) {
	t.Helper()
	const python = `
import os, subprocess, sys
for name in sys.argv[1].split("/"):
    if not os.path.exists(name):
        os.mkdir(name)
    os.chdir(name)
subprocess.run(["sh", "-ec", sys.argv[2]], check=True)`
	cmd := exec.Command("python3", "-c", python, path, script)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestLivingHost searches for hard links in a lower that others work in.
func TestLivingHost(t *testing.T) {
	lower := t.TempDir()
	shell(t, lower, "mkdir work z; echo 1 >a; ln a z/b")
	u := newUnion(t, lower, t.TempDir(), runOptions)
	shell(t, u.mergedDir, "echo 22 >a")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	for i := range 4 {
		others.Go(func() {
			for dir := filepath.Join(lower, "work", strconv.Itoa(i)); ctx.Err() == nil; {
				if err := errors.Join(os.MkdirAll(dir+"/b/c", 0o755), os.RemoveAll(dir)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for ctx.Err() == nil {
		list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
		if err != nil {
			t.Fatal(err)
		}
		tree.Close()
		expect(t, list, "M:content,time a", "M:content,time z/b")
	}
}

// TestLayers has a mount in a mount, one of them with files below its mount point,
// and files that are mounts.
func TestLayers(t *testing.T) {
	root, inner, innermost := t.TempDir(), t.TempDir(), t.TempDir()
	shell(t, root, "mkdir -p etc home/user-0 home0; echo 1 >home/hidden; echo 1 >etc/hosts; ln home/hidden etc/link")
	shell(t, inner, "mkdir user; echo 1 >a; echo 1 >z")
	shell(t, innermost, "echo 1 >b")
	files, copies := t.TempDir(), t.TempDir()
	shell(t, files, "echo 1 >hosts; ln hosts x; echo 1 >hostname; echo 1 >same; cp -p * "+copies+"; mkdir -m 700 dir")
	shell(t, copies, "echo 2 >hosts; chmod 600 hostname")

	var layers []layer
	for _, l := range []struct{ path, lower, run string }{
		{"home/user", innermost, "echo 2 >b; mkdir -p user"},
		{".", root, "mkdir home/user; echo 1 >home/x; echo 1 >home0/a; chmod 700 .; echo 22 >etc/link; rm etc/hosts"},
		{"home", inner, "chmod 700 . user; echo 22 >a; rm z"},
	} {
		u := newUnion(t, l.lower, t.TempDir(), runOptions)
		u.path = l.path
		shell(t, u.mergedDir, l.run)
		layers = append(layers, u.layer)
	}
	for _, name := range []string{"hosts", "hostname", "same"} {
		layers = append(layers, layer{path: "etc/" + name, lower: open(t, files), merged: open(t, copies)})
	}
	var done int
	list, tree, err := harvest(t.Context(), layers, func(n int) { done = n })
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	expect(t, list, "M:mode .", "M:mode etc/hostname", "M:content,time etc/hosts", "M:content,time etc/link", "M:mode home",
		"M:content,time home/a", "M:content,time home/user/b", "A home/user/user", "D home/z", "A home0/a")
	if want := len(list.Entries) + 1; done != want { // etc/same was looked at, too
		t.Errorf("progress ended at %d, want %d", done, want)
	}
	for path, want := range map[string]string{
		"etc/hosts": "2\n", "etc/hostname": "1\n", "etc/link": "22\n", "home/a": "22\n", "home/user/b": "2\n", "home0/a": "1\n",
	} {
		f, err := tree.Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if text, err := io.ReadAll(f); err != nil || string(text) != want {
			t.Errorf("%s: read %q, %v", path, text, err)
		}
		f.Close()
	}
}

// TestXattrWhiteouts has an upper directory whose whiteouts are files with an
// attribute, as an overlay inside an overlay makes them (Linux 6.7).
func TestXattrWhiteouts(t *testing.T) {
	need.Root(t)
	lower, dir := t.TempDir(), t.TempDir()
	shell(t, lower, "mkdir -p d/e; echo 1 >d/a; echo 1 >d/b; echo 1 >d/e/c")
	shell(t, dir+"/early", `mkdir d; setfattr -n trusted.overlay.opaque -v x d
		for w in d/a d/e; do : >$w; setfattr -n trusted.overlay.whiteout -v y $w; done; echo 2 >d/n`)
	u := newUnion(t, lower, dir, runOptions)
	work := filepath.Join(dir, "work2")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	u.upper = open(t, dir+"/early")
	u.merged = mountUnion(t, lower, dir+"/early", work, runOptions)
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	expect(t, list, "D d/a", "D d/e", "D d/e/c", "A d/n")
}

// TestSockets: they can not be listed, but must not get lost in silence.
func TestSockets(t *testing.T) {
	lower := t.TempDir()
	const bind = `python3 -c "import socket; [socket.socket(1).bind(s) for s in '%s']"`
	shell(t, lower, strings.ReplaceAll(bind, "%s", "abc"))
	u := newUnion(t, lower, t.TempDir(), runOptions)
	shell(t, u.mergedDir, "rm a; chmod 600 b;"+strings.ReplaceAll(bind, "%s", "n"))
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	expect(t, list, "D a")
	var notes []string
	for _, n := range list.Notes {
		notes = append(notes, string(n.Kind)+" "+strings.Fields(n.Text)[1])
	}
	if want := []string{`lost "/b"`, `lost "/n"`}; !slices.Equal(notes, want) {
		t.Errorf("notes %q, want %q", notes, want)
	}
}

// TestIdentical: what was only copied up is no entry, what was made anew is one.
func TestIdentical(t *testing.T) {
	lower := t.TempDir()
	shell(t, lower, "for f in opened back anew linked; do echo 1 >$f; done; mkdir d; echo 1 >d/anew; ln linked other")
	u := newUnion(t, lower, t.TempDir(), runOptions)
	shell(t, u.mergedDir, `: >>opened; chmod 600 back d; chmod 644 back; chmod 755 d; chmod 600 linked; chmod 644 linked
		for f in anew d/anew; do cp -p $f t; mv t $f; done`)
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	expect(t, list, "= anew", "= d/anew")
}

// TestSparse: a tar writer seeks for holes.
func TestSparse(t *testing.T) {
	u := newUnion(t, t.TempDir(), t.TempDir(), runOptions)
	shell(t, u.mergedDir, "truncate -s 8M a; echo 1 >>a")
	list, tree, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	f, err := tree.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := f.(*os.File).Seek(0, unix.SEEK_DATA); err != nil || data != 8<<20 {
		t.Errorf("data begins at %d, %v", data, err)
	}
	if _, err := f.(*os.File).Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if d, err := capture.Digest(f); err != nil || d != list.Entries[0].Digest {
		t.Errorf("digest of what was opened is %v, %v", d, err)
	}
}

// TestUnreadable: what can not be read ends the harvest, and is named.
func TestUnreadable(t *testing.T) {
	lower, dir := t.TempDir(), t.TempDir()
	shell(t, lower, "mkdir d")
	u := newUnion(t, lower, dir, runOptions)
	// The kernel refuses to look up what has a redirect out of the overlay.
	shell(t, u.upperDir, "mkdir -p d/broken; setfattr -n trusted.overlay.redirect -v ../x d/broken; setfattr -n trusted.overlay.origin -v x d")
	_, _, err := harvest(t.Context(), []layer{u.layer}, nil)
	if err == nil || !strings.Contains(err.Error(), `"d/broken"`) {
		t.Errorf("got %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := harvest(ctx, []layer{u.layer}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestTreeOpen(t *testing.T) {
	u := newUnion(t, t.TempDir(), t.TempDir(), runOptions)
	shell(t, u.mergedDir, "mkdir d; echo 1 >d/a; ln -s d l; ln -s d/a s; ln -s / r")
	tree := newTree([]layer{u.layer}, newKeep())
	defer tree.Close()
	for _, path := range []string{"x", "d/x", "l/a", "s", "r/etc/passwd", "../" + filepath.Base(u.upperDir), "d/../../upper/d/a"} {
		if f, err := tree.Open(path); err == nil {
			f.Close()
			t.Errorf("opened %q", path)
		}
	}
}

// TestHostFileMount: what the host does to a mounted file during a run, or to its
// mount, is none of the command's doing.
func TestHostFileMount(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	shell(t, dir, "mkdir other; mount -t tmpfs other other; echo 1 >other/a; echo 1 >other/b; touch a b; mount --bind other/a a; mount --bind other/b b; echo 1 >twin; touch c; mount --bind twin c")
	t.Cleanup(func() { shell(t, dir, "umount a c other") })
	r, err := prepare("/", "", false, flavour{})
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	shell(t, dir, "echo 2 >a; umount b; echo 2 >twin")
	if err := r.settle(); err != nil {
		t.Fatal(err)
	}
	list, tree, err := harvest(t.Context(), r.layers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	expect(t, list)
}
