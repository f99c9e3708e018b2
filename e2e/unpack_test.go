package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// ours is a command of the binary on a root.
func ours(root, verb string, args ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{verb, "--root", root}, args...)...)
}

// withoutState leaves the state directory of unpack out of a picture.
func withoutState(p picture) picture {
	rest := make(picture, len(p))
	for path, f := range p {
		if path != "var/lib/sandbox-install" && !strings.HasPrefix(path, "var/lib/sandbox-install/") {
			rest[path] = f
		}
	}
	return rest
}

// testUnpack keeps the other half of L2, and L4: the package, unpacked over a root
// like the one it was captured in, makes what the native installation made; undo,
// redo and removal bring back what was there.
func testUnpack(t *testing.T, in installer, start time.Time, before, after picture, tarball string) {
	t.Helper()
	root := newRoot(t, in)
	look := func() picture { return in.steady(t, since(start, before, withoutState(takePicture(t, root)))) }
	was, native := in.steady(t, since(start, before, before)), in.steady(t, since(start, before, after))
	for _, step := range []struct {
		verb string
		args []string
		want picture
	}{
		{"unpack", []string{"--devices", "--set-id", tarball}, native},
		{"check", nil, native},
		{"undo", nil, was},
		{"undo", []string{"2"}, native},
		{"remove", []string{"thing"}, was},
	} {
		loud(t, ours(root, step.verb, step.args...))
		samePicture(t, "places wrong after "+step.verb, step.want, look())
	}
}

// TestAccounts: the group that a Debian package makes comes with our package, and
// goes with it.
func TestAccounts(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	in := installers[8]
	if in.name != "cron-package" {
		t.Fatal("the table has changed")
	}
	root := newRoot(t, in)
	before := withoutState(takePicture(t, root).elsewhere())
	got := captureIn(t, root, in.at(in.install))
	loud(t, ours(root, "unpack", "--set-id", got.tarball))
	group := strings.TrimSpace(output(t, root, "sh", "-c", "grep ^crontab: etc/group | cut -d : -f 3"))
	if owner := strings.TrimSpace(output(t, root, "stat", "-c", "%g", "usr/bin/crontab")); group == "" || owner != group {
		t.Errorf("group crontab is %q; its program belongs to %q", group, owner)
	}
	loud(t, ours(root, "remove", "thing"))
	now := withoutState(takePicture(t, root).elsewhere())
	for path, f := range now { // directories were disturbed
		if f.kind == "d" {
			f.mtime = before[path].mtime
			now[path] = f
		}
	}
	samePicture(t, "places wrong after remove", before, now)
}
