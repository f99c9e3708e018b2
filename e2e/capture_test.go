package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files are what a run leaves: for the package "thing", version 1.
type files struct{ plist, tarball string }

// sandboxed is the command line that captures a shell script.
func sandboxed(script string, flags ...string) *exec.Cmd {
	args := append([]string{"run", "--name", "thing", "--version", "1", "--staging", staging}, flags...)
	cmd := exec.Command(binary, append(args, "--", "sh", "-euc", script)...)
	cmd.Env = environment
	return cmd
}

// captureIn captures a shell script that runs in root, and checks that root is
// untouched by it.
func captureIn(t testing.TB, root, script string, flags ...string) files {
	t.Helper()
	out := t.TempDir()
	untouched(t, root, func() {
		loud(t, sandboxed(script, append([]string{"--root", root, "-o", out}, flags...)...))
	})
	return theFiles(t, out)
}

// theFiles are the two files that out holds, and nothing else.
func theFiles(t testing.TB, out string) files {
	t.Helper()
	f := files{filepath.Join(out, "thing-1.plist"), filepath.Join(out, "thing-1.tar.zst")}
	want := "thing-1.plist\nthing-1.tar.zst\n"
	if got := output(t, out, "ls", "-A"); got != want {
		t.Fatalf("output directory holds\n%swant\n%s", got, want)
	}
	return f
}

// untouched is law L1: what f does changes nothing below dir, and leaves no
// mount, no process and nothing in the staging directory.
func untouched(t testing.TB, dir string, f func()) {
	t.Helper()
	before := takePicture(t, dir)
	mounted, running := mounts(t), processes(t)
	f()
	if now := mounts(t); now != mounted {
		t.Errorf("mounts were\n%s\nand are\n%s", mounted, now)
	}
	if now := processes(t); now != running {
		t.Errorf("processes were\n%s\nand are\n%s", running, now)
	}
	isEmpty(t, staging)
	samePicture(t, "places touched", before, takePicture(t, dir))
}

// mounts is what the kernel says is mounted in the namespace of this test.
func mounts(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// processes says who runs in the pid namespace of this test.
func processes(t testing.TB) string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var running strings.Builder
	for _, dir := range dirs {
		if name, err := os.ReadFile(dir + "/comm"); err == nil {
			fmt.Fprintf(&running, "%s %s", filepath.Base(dir), name)
		}
	}
	return running.String()
}

// printed is what plist print --changes says of a tarball.
func printed(t testing.TB, tarball string) map[string]string {
	t.Helper()
	ops := make(map[string]string)
	for _, record := range records(output(t, ".", binary, "plist", "print", "--changes", "--all", "-0", tarball)) {
		op, path, ok := strings.Cut(record, "\t/")
		if _, again := ops[path]; !ok || again {
			t.Fatalf("record %q: malformed or repeated", record)
		}
		ops[path] = op
	}
	return ops
}

// An outcome is what an installer does without any capture.
type outcome struct {
	in            installer
	start         time.Time // what was written since then has a time of its own
	before, after picture
	changes       map[string]change
}

// installed installs natively, in a fresh root.
func installed(t testing.TB, in installer) outcome {
	t.Helper()
	o := outcome{in: in, start: time.Now()}
	live := newRoot(t, in)
	o.before = takePicture(t, live)
	loud(t, native(live, in.at(in.install)))
	o.after = takePicture(t, live)
	if o.changes = difference(o.before, o.after); len(o.changes) == 0 {
		t.Fatal("the installation did nothing")
	}
	return o
}

// judge has an installation captured in a root like the one it was done in, and
// unpacks what was captured there: the list of changes is right, and the archive
// makes what the installation made.
func (o outcome) judge(t *testing.T, capture func(t testing.TB, root, script string, flags ...string) files) {
	root := newRoot(t, o.in)
	samePicture(t, "differences between two fresh roots", o.before.elsewhere(), takePicture(t, root).elsewhere())

	// Everything is packed, so that the archive alone can make the result; but devices,
	// which are the machine's and not the root's.
	got := capture(t, root, o.in.at(o.in.install), "--include", "/**", "--exclude", "/dev/**")
	ops := printed(t, got.tarball)
	maps.DeleteFunc(ops, func(path, _ string) bool { return strings.HasPrefix(path, "dev/") })
	compareChanges(t, o.changes, ops)

	o.judgeUnpack(t, root, got.tarball) // leaves root as it was
	unpack(t, root, got.tarball, ops)
	samePicture(t, "places where base + tarball is not the native result", o.normal(t, o.after), o.normal(t, takePicture(t, root)))
}

// normal is what all roots with the outcome have in common.
func (o outcome) normal(t testing.TB, p picture) picture {
	t.Helper()
	return o.in.steady(t, since(o.start, o.before, withoutState(p)))
}

// steady leaves the content of the volatile files out of a picture.
func (in installer) steady(t testing.TB, p picture) picture {
	t.Helper()
	for path, f := range p {
		for _, pattern := range in.volatile {
			match, err := filepath.Match(pattern, path)
			if err != nil {
				t.Fatal(err)
			}
			if match {
				f.body, f.size = "", ""
				p[path] = f
			}
		}
	}
	return p
}

// unpack puts a tarball over root the way a person would: remove what is listed
// as deleted or of another type, then GNU tar.
func unpack(t testing.TB, root, tarball string, ops map[string]string) {
	t.Helper()
	var gone bytes.Buffer
	for path, op := range ops {
		if op == "D" || op == "T" {
			fmt.Fprintf(&gone, "./%s\x00", path)
		}
	}
	rm := exec.Command("xargs", "-0r", "rm", "-rf", "--")
	rm.Dir, rm.Stdin = root, &gone
	loud(t, rm)
	list := strings.TrimSpace(strings.Split(output(t, ".", "tar", "-tf", tarball), "\n")[0])
	loud(t, exec.Command("tar", "-C", root, "-xpf", tarball, "--numeric-owner", "--same-owner",
		"--xattrs", "--xattrs-include=*", "--acls", "--overwrite"))
	if err := os.Remove(filepath.Join(root, list)); err != nil {
		t.Error(err) // the first member is the packing list
	}
}

// since replaces times that are not older than start by a word: two runs cannot
// write a file at the same moment. A directory that was there before gets none:
// every temporary file disturbs it. What no copy of a tree keeps is left out, too.
func since(start time.Time, before, p picture) picture {
	// The kernel takes file times from a clock that may lag by a tick.
	limit := fmt.Sprintf("%d", start.Add(-time.Second).Unix())
	normal := make(picture, len(p))
	for path, f := range p.elsewhere() {
		if _, was := before[path]; was && f.kind == "d" {
			f.mtime = ""
		} else if f.mtime >= limit { // both have ten digits before the point until 2286
			f.mtime = "now"
		}
		normal[path] = f
	}
	return normal
}
