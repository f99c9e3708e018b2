package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// judgeRootless has an ordinary user install into the file system of a root: one with
// subordinate ids, and one without, by each method that is a union mount. What needs files
// that a user may not read, root installs by the same method.
func judgeRootless(t *testing.T, o outcome) {
	if o.in.secrets {
		o.judge(t, func(t testing.TB, root, script string, flags ...string) files {
			return captureIn(t, root, script, append(flags, "--method", "rootless")...)
		})
		return
	}
	o.judge(t, captureAs("", "rootless"))
	if o.in.name == installers[0].name {
		t.Run("one id", func(t *testing.T) { o.judge(t, captureAs("alone", "rootless")) })
	}
	if *all { // TestAgreement has some of it otherwise
		t.Run("fuse", func(t *testing.T) { o.judge(t, captureAs("", "fuse")) })
	}
}

// captureAs returns captureIn for a user of scripts/as-user, who uses a method.
func captureAs(user, method string) func(t testing.TB, root, script string, flags ...string) files {
	return func(t testing.TB, root, script string, flags ...string) files {
		t.Helper()
		out := t.TempDir()
		untouched(t, root, func() {
			loud(t, asUser(t, user, root, out, script, append(flags, "--name", "thing", "--version", "1", "--method", method)...))
		})
		return theFiles(t, out)
	}
}

// asUser is a run by a user of scripts/as-user, of a script in a root.
func asUser(t testing.TB, user, root, out, script string, flags ...string) *exec.Cmd {
	t.Helper()
	for dir, mode := range map[string]os.FileMode{out: 0o777, filepath.Dir(out): 0o755, staging: 0o777 | os.ModeSticky, filepath.Dir(staging): 0o755} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{binary, "run", "--root", "/media/root", "-o", out}, flags...)
	args = append(args, "--", "env", "-u", "TMPDIR", environment[0], environment[1], "sh", "-euc", script)
	cmd := exec.Command("../scripts/as-user", args...)
	cmd.Env = append(environment, "TMPDIR="+staging, "AS_USER="+user, "AS_USER_ROOT="+root)
	return cmd
}
