package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testOptions captures one installation in several ways, which must not matter.
func testOptions(t *testing.T, base string) {
	in := installers[0]
	truth := installed(t, in).changes
	archive := filepath.Join(t.TempDir(), "base.tar.zst")
	output(t, ".", "tar", "-C", base, "--xattrs", "--acls", "--zstd", "-cf", archive, ".")

	for name, flags := range map[string][]string{
		"container":  {"--root", base, "--isolate=container"},
		"no-network": {"--root", base, "--network=none"},
		"share-run":  {"--root", base, "--share-run"},
		"archive":    {"--root", archive},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			untouched(t, base, func() { loud(t, sandboxed(in.at(in.install), append(flags, "-o", out)...)) })
			compareChanges(t, truth, printed(t, theFiles(t, out).tarball))
		})
	}
}

// testNetworkNone leaves the command no network but a loopback.
func testNetworkNone(t *testing.T, base string) {
	out, err := sandboxed("cat /proc/net/dev", "--root", base, "--network=none", "-o", t.TempDir()).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; len(lines) != 3 || !strings.HasPrefix(strings.TrimSpace(last), "lo:") {
		t.Errorf("interfaces inside:\n%s", out)
	}
}

// testCompress makes the same archive in three wrappings.
func testCompress(t *testing.T, base string) {
	plain := ""
	for _, c := range []struct{ how, suffix, unpack string }{
		{"none", ".tar", "cat"}, {"gzip", ".tar.gz", "gzip -dc"}, {"zstd", ".tar.zst", "zstd -dc"},
	} {
		out := t.TempDir()
		cmd := sandboxed("echo x >/opt/x", "--root", base, "-o", out, "--compress="+c.how)
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1700000000")
		loud(t, cmd)
		file := filepath.Join(out, "thing-1"+c.suffix)
		sum, err := exec.Command("sh", "-c", c.unpack+` <"$1" | sha256sum`, "sh", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		if plain == "" {
			plain = string(sum)
		}
		if string(sum) != plain {
			t.Errorf("--compress=%s holds another archive", c.how)
		}
		output(t, ".", "tar", "-tf", file)
	}
}
