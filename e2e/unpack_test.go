package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
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

// judgeUnpack keeps the other half of L2, and L4: the package, unpacked over a root
// like the one it was captured in, makes what the native installation made; undo,
// redo and removal bring back what was there.
func (o outcome) judgeUnpack(t *testing.T, root, tarball string) {
	t.Helper()
	was, native := o.normal(t, o.before), o.normal(t, o.after)
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
		samePicture(t, "places wrong after "+step.verb, step.want, o.normal(t, takePicture(t, root)))
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

// TestUnpackAsUser: an ordinary user has a package in a directory of his own, as GNU
// tar unpacks it for him; removed it is gone. Who reads meanwhile sees one or the other.
func TestUnpackAsUser(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	in := installers[0]
	got := captureIn(t, newRoot(t, in), in.at(in.install), "--prefix", "/usr/local")
	home, judge := t.TempDir(), t.TempDir()
	loud(t, exec.Command("../scripts/as-user", "/bin/true")) // makes him
	for _, dir := range []string{home, judge} {
		loud(t, exec.Command("sh", "-euc", `cp "$1" "$2/package"; chown sandbox-install-test: "$2"; chmod 755 "$2" "$2/.."; chmod 644 "$2/package"`, "sh", got.tarball, dir))
	}
	as := func(root, program string, args ...string) *exec.Cmd {
		cmd := exec.Command("../scripts/as-user", append([]string{program}, args...)...)
		cmd.Env = append(environment, "AS_USER_ROOT="+root)
		return cmd
	}
	do := func(verb string, args ...string) *exec.Cmd {
		return as(home, binary, append([]string{verb, "--root", "/media/root"}, args...)...)
	}
	loud(t, as(judge, "/bin/tar", "-C", "/media/root", "-xpf", "/media/root/package"))
	was := takePicture(t, home).elsewhere()
	listed := strings.Fields(output(t, ".", "tar", "-tf", got.tarball))[1:] // without the list
	packaged := func(dir string) picture {
		p, all := make(picture), takePicture(t, dir).elsewhere()
		for _, name := range listed {
			if f, ok := all[strings.TrimSuffix(name, "/")]; ok {
				p[strings.TrimSuffix(name, "/")] = f
			}
		}
		return p
	}

	seen, ended := make(map[string]bool), make(chan error, 1)
	go func() {
		out, err := do("unpack", "/media/root/package").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("unpack: %w\n%s", err, out)
		}
		ended <- err
	}()
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		out, err := exec.Command(binary, "list", "--root", home).CombinedOutput()
		if err != nil {
			t.Errorf("list while a package is unpacked: %v\n%s", err, out)
		}
		seen[string(out)] = true
	}
	after := output(t, ".", binary, "list", "--root", home)
	delete(seen, "")
	delete(seen, after)
	if len(seen) != 0 || !strings.Contains(after, "thing") {
		t.Errorf("list, while a package was unpacked, was neither empty nor %q: %v", after, seen)
	}
	samePicture(t, "places that are not as tar unpacks them", packaged(judge), packaged(home))
	loud(t, do("check", "thing"))
	loud(t, do("remove", "thing"))
	now := withoutState(takePicture(t, home).elsewhere())
	for _, made := range []string{".", "", "var", "var/lib"} {
		delete(was, made)
		delete(now, made)
	}
	samePicture(t, "places wrong after remove", was, now)
}
