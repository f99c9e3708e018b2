package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// redirected are the installers that nobody carries out as root does.
var redirected = []string{"hello", "bzip2", "zlib", "sudo", "cjson", "zone-files", "busybox", "perl-module", "xz"}

// TestRedirect has nobody install where only root may write, with neither namespaces
// nor mounts: by redirection, which makes the same list and the same tarball as root's
// overlay, byte for byte. The root stays as it is.
func TestRedirect(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if !slices.Contains(redirected, in.name) || !in.quick && !*all {
			continue
		}
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			testRedirect(t, in)
		})
	}
}

func testRedirect(t *testing.T, in installer) {
	base := newRoot(t, in)
	output(t, ".", "cp", "-p", binary, filepath.Join(base, "usr/bin"))
	if in.secrets { // what nobody may not enter, he can not install into
		output(t, base, "chmod", "a+rX", "var/cache/ldconfig")
	}
	flags := []string{"--name", "thing", "--version", "1", "--include", "/**"}
	for _, file := range in.volatile { // no two installations agree on it
		flags = append(flags, "--exclude", "/"+file)
	}
	capture := func(out string, cmd *exec.Cmd) files {
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1700000000") // see testAgreement
		loud(t, cmd)
		return theFiles(t, out)
	}
	out := t.TempDir()
	want := capture(out, sandboxed(in.at(in.install), append(flags, "--method", "overlay", "--root", base, "-o", out)...))

	before := takePicture(t, base)
	out = t.TempDir()
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	nobody := []string{
		"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs",
		"sandbox-install", "run", "--method", "redirect", "-o", "/srv",
	}
	args := slices.Concat(nobody, flags, []string{"--", "sh", "-euc", in.install})
	got := capture(out, entered(base, out, in.at(shellWords(args))))
	sameFile(t, "redirect as nobody", want.plist, got.plist)
	sameFile(t, "redirect as nobody", want.tarball, got.tarball)
	samePicture(t, "places that a redirection touched", before, takePicture(t, base))
}
