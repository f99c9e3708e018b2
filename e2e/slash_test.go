package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// entered is a command that runs a shell script with root as its "/", in mount
// and pid namespaces of its own, as on a machine booted from it. The directory
// out is its /srv; /tmp, with the upper layers, /run and /dev are tmpfs of its own: what
// others do there must not be captured, nor put back, as the time of a terminal that
// anybody uses.
func entered(root, out, script string) *exec.Cmd {
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", `
		root=$1 out=$2 script=$3
		mount --rbind "$root" "$root"
		mount -t tmpfs tmpfs "$root/run"
		mount -t proc proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/dev"
		for node in null zero full random urandom tty ptmx fuse; do [ ! -c "/dev/$node" ] || cp -a "/dev/$node" "$root/dev"; done
		ln -s /proc/self/fd "$root/dev/fd"
		mkdir -m 1777 "$root/dev/pts" "$root/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
		mount -t tmpfs tmpfs "$root/dev/shm"
		mount -t tmpfs tmpfs "$root/tmp"
		mount --bind "$out" "$root/srv"
		cd "$root"
		pivot_root . mnt
		umount -l mnt
		exec sh -euc "$script"`, "sh", root, out, script)
	cmd.Env = append(environment, "TMPDIR=/tmp")
	return cmd
}

// TestSlash captures without --root, so that "/" itself is what is captured:
// first a plain file system, then an overlay, as in a container.
func TestSlash(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	in := installers[0]
	truth := installed(t, in).changes
	base := newRoot(t, in)
	output(t, ".", "cp", "-p", binary, filepath.Join(base, "usr/bin"))

	t.Run("plain", func(t *testing.T) { captureSlash(t, base, in, truth) })
	t.Run("overlay", func(t *testing.T) {
		parent := filepath.Dir(base)
		merged := mountOverlay(t, parent, base, mkdir(t, parent, "upper"))
		captureSlash(t, merged, in, truth)
	})
}

func captureSlash(t *testing.T, root string, in installer, truth map[string]change) {
	out := t.TempDir()
	untouched(t, root, func() {
		loud(t, entered(root, out, in.at("sandbox-install run --name thing --version 1 -o /srv -- "+in.install)))
	})
	compareChanges(t, truth, printed(t, theFiles(t, out).tarball))
}
