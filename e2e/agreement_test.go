package e2e

import (
	"flag"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var methods = flag.String("methods", "fuse,rootless,hashdiff,seccomp", "which methods TestAgreement compares with overlay")

// TestAgreement is law L3 on real installers: fuse, hashdiff and seccomp, and rootless and
// fuse as an ordinary user, make the same list and the same tarball as overlay, byte for
// byte, in a copy of a root and on a live system, which is afterwards what it was. A user's
// list may tell what the user was not allowed to read.
func TestAgreement(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if in.quick || *all {
			t.Run(in.name, func(t *testing.T) {
				t.Parallel()
				testAgreement(t, in)
			})
		}
	}
}

func testAgreement(t *testing.T, in installer) {
	base := newRoot(t, in)
	output(t, ".", "cp", "-p", binary, filepath.Join(base, "usr/bin"))
	flags := []string{"--name", "thing", "--version", "1", "--include", "/**"}
	for _, file := range in.volatile { // no two installations agree on it
		flags = append(flags, "--exclude", "/"+file)
	}
	capture := func(cmd func(out string) *exec.Cmd) files {
		out := t.TempDir()
		c := cmd(out)
		// What the command itself makes of the time is the same in each run, and so is
		// what was written just now.
		c.Env = append(c.Env, "SOURCE_DATE_EPOCH=1700000000")
		loud(t, c)
		return theFiles(t, out)
	}
	inRoot := func(method string) files {
		return capture(func(out string) *exec.Cmd {
			return sandboxed(in.at(in.install), append(flags, "--method", method, "--root", base, "-o", out)...)
		})
	}
	want := inRoot("overlay")
	same := func(how string, got files) {
		t.Helper()
		sameFile(t, how, want.plist, got.plist)
		sameFile(t, how, want.tarball, got.tarball)
	}
	sameButDeclared := func(how string, got files) {
		t.Helper()
		sameFile(t, how, want.plist, got.plist)
		sameFile(t, how, undeclared(t, want.tarball), undeclared(t, got.tarball))
	}
	compared := strings.Split(*methods, ",")
	for _, method := range compared {
		switch {
		case method == "seccomp":
		case method != "rootless":
			same(method+" in a copy of the root", inRoot(method))
		case in.secrets:
			sameButDeclared(method+" in a copy of the root", inRoot(method))
		}
		if (method == "rootless" || method == "fuse") && !in.secrets {
			sameButDeclared(method+" as an ordinary user", capture(func(out string) *exec.Cmd {
				return asUser(t, "", base, out, in.at(in.install), append(flags, "--method", method)...)
			}))
		}
	}

	before := takePicture(t, base).elsewhere() // what is put back may have another inode
	for method, more := range map[string][]string{"hashdiff": {"--roll-back"}, "seccomp": nil} {
		if !slices.Contains(compared, method) {
			continue
		}
		args := slices.Concat([]string{"sandbox-install", "run", "--method", method, "-o", "/srv"}, flags, more, []string{"--", "sh", "-euc", in.install})
		same(method+" on the live system", capture(func(out string) *exec.Cmd { return entered(base, out, in.at(shellWords(args))) }))
		samePicture(t, "places not put back by "+method, before, takePicture(t, base).elsewhere())
	}
}

// sameFile reports whether two files hold the same.
func sameFile(t *testing.T, how, want, got string) {
	t.Helper()
	if out, err := exec.Command("cmp", want, got).CombinedOutput(); err != nil {
		t.Errorf("%s: %s", how, out)
		t.Logf("%s", diffOf(want, got))
	}
}

// undeclared returns what is in a tarball but for what a method without privilege declares,
// holes where the user may not read, that of an old file with several names the others stayed
// if it was changed, and that the machine's devices are not changed: the list, then the
// members and their contents.
func undeclared(t *testing.T, tarball string) string {
	t.Helper()
	rest := filepath.Join(t.TempDir(), "rest")
	loud(t, exec.Command("sh", "-euc", `{
		tar -xOf "$1" .sandbox-install.plist |
			grep -v -e '^#note hole ".*"\\040could\\040not\\040be\\040read,\\040since\\040this\\040user\\040may\\040not$' \
				-e '^#note lost ".*"\\040had\\040other\\040names:\\040if\\040it\\040was\\040changed,.*' \
				-e '^\./dev/.* op=modify .* rule=exclude type=char$'
		tar --full-time --numeric-owner --exclude .sandbox-install.plist -tvf "$1"
		tar --exclude .sandbox-install.plist -xOf "$1"
	} >"$2"`, "sh", tarball, rest))
	return rest
}

// diffOf shows where two lists, or the lists of two tarballs, differ.
func diffOf(want, got string) []byte {
	script := `diff -a "$1" "$2"`
	if filepath.Ext(want) == ".zst" {
		script = `for f; do tar -xOf "$f" .sandbox-install.plist >"$f.list"; done; diff "$1.list" "$2.list"`
	}
	out, _ := exec.Command("sh", "-c", script+" | head -n 40", "sh", want, got).CombinedOutput() // differing is no success
	return out
}

// shellWords quotes words for sh.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
