package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// environment is all that an installation sees of ours, natively and captured.
// Perl and Python write a time or none into what they generate by
// SOURCE_DATE_EPOCH; it lies ahead, since it also clamps the times in a tarball.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "SOURCE_DATE_EPOCH=4102444800",
}

// newRoot is a fresh Debian root with what in needs to be installed, removed
// again after the test. All roots of an installer begin the same.
func newRoot(t testing.TB, in installer) string {
	t.Helper()
	parent, err := os.MkdirTemp(mkdir(t, cache, "copies"), in.name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, parent) })
	root := filepath.Join(parent, "root")
	src := filepath.Join(root, "usr/src")
	output(t, ".", "cp", "-a", "--reflink=auto", image(t, in), root)
	output(t, ".", "cp", "-a", "--reflink=auto", built(t, in), filepath.Join(src, in.name))
	output(t, ".", "touch", "--reference="+filepath.Join(image(t, in), "usr/src"), src)
	return root
}

// image is a Debian root with the installer's packages. It is made once.
func image(t testing.TB, in installer) string {
	t.Helper()
	packages := append([]string{"gcc", "libc6-dev", "make", "install-info"}, in.packages...)
	args := []string{
		"--quiet", "--mode=root", "--variant=minbase", "--aptopt=Acquire::Retries 5", "--include=" + strings.Join(packages, ","),
		// Start no daemons.
		`--customize-hook=printf '#!/bin/sh\nexit 101\n' >$1/usr/sbin/policy-rc.d && chmod +x $1/usr/sbin/policy-rc.d`,
		strings.TrimSpace(output(t, ".", "sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME")),
	}
	return once(t, "image", strings.Join(args, " "), func(dir string) {
		t.Logf("making a Debian root with %s", packages)
		privateApt(t, "indextargets") // makes the sources.list
		loud(t, exec.Command("mmdebstrap", append(args, dir, filepath.Join(cache, "apt", "sources.list"))...))
	})
}

// built is the installer's build tree, as it is at /usr/src/NAME in a root. It
// is made once, in a layer over the image.
func built(t testing.TB, in installer) string {
	t.Helper()
	base := image(t, in)
	return once(t, in.name, base+in.fetch+in.build, func(dir string) {
		t.Logf("building %s", in.name)
		removeAll(t, dir+".work") // of a run that was killed
		work := mkdir(t, dir+".work")
		t.Cleanup(func() { removeAll(t, work) })
		upper := mkdir(t, work, "upper")
		tree := mkdir(t, upper, "usr/src", in.name)
		fetch := exec.Command("sh", "-euc", in.fetch)
		fetch.Dir = tree
		fetch.Env = append(os.Environ(), "PATH="+scripts(t)+":"+os.Getenv("PATH"))
		loud(t, fetch)

		root := mountOverlay(t, work, base, upper)
		loud(t, native(root, in.at(in.build)))
		if err := os.Rename(tree, dir); err != nil {
			t.Fatal(err)
		}
	})
}

// mountOverlay shows upper over lower at a place below parent. The mount goes
// with the namespace of the test.
func mountOverlay(t testing.TB, parent, lower, upper string) string {
	t.Helper()
	merged := mkdir(t, parent, "merged")
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, mkdir(t, parent, "work"))
	output(t, ".", "mount", "-t", "overlay", "overlay", merged, "-o", options)
	t.Cleanup(func() { output(t, ".", "umount", merged) })
	return merged
}

// native is a command that runs a shell script in root without any capture. It
// sees the machine's devices and can make no others.
func native(root, script string) *exec.Cmd {
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", `
		mount -t proc proc "$1/proc"
		mount --rbind /dev "$1/dev"
		mount -o remount,bind,ro "$1/dev"
		exec chroot "$1" sh -euc "$2"`, "sh", root, script)
	cmd.Env = environment
	return cmd
}

// at is a script that runs another where the installer was built.
func (in installer) at(script string) string {
	return "cd /usr/src/" + in.name + "/src && " + script
}

// once makes a directory in the cache if it is not there yet: make is given a
// name that does not exist. Its name tells what it was made from. Other test
// processes wait for it.
func once(t testing.TB, name, recipe string, make func(dir string)) string {
	t.Helper()
	dir := filepath.Join(mkdir(t, cache), fmt.Sprintf("%s-%.6x", name, sha256.Sum256([]byte(recipe))))
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	unfinished := dir + ".unfinished"
	removeAll(t, unfinished)
	make(unfinished)
	if err := os.Rename(unfinished, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func privateApt(t testing.TB, args ...string) {
	t.Helper()
	loud(t, exec.Command(filepath.Join(scripts(t), "private-apt"), args...))
}

func scripts(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../scripts")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// loud runs a command whose output matters only if it fails.
func loud(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

func removeAll(t testing.TB, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func mkdir(t testing.TB, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
