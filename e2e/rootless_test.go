package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRootless has an ordinary user install into the file system of a root: one with
// subordinate ids, and one without. What needs files that a user may not read, root
// installs by the same method.
func TestRootless(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if !in.quick && !*all {
			continue
		}
		t.Run(in.name, func(t *testing.T) {
			if in.secrets {
				testInstaller(t, in, func(t testing.TB, root, script string, flags ...string) files {
					return captureIn(t, root, script, append(flags, "--method", "rootless")...)
				})
				return
			}
			testInstaller(t, in, captureAs(""))
			if in.name == installers[0].name {
				t.Run("one id", func(t *testing.T) { testInstaller(t, in, captureAs("alone")) })
			}
		})
	}
}

// captureAs returns captureIn for a user of scripts/as-user.
func captureAs(user string) func(t testing.TB, root, script string, flags ...string) files {
	return func(t testing.TB, root, script string, flags ...string) files {
		t.Helper()
		out := t.TempDir()
		for dir, mode := range map[string]os.FileMode{out: 0o777, filepath.Dir(out): 0o755, staging: 0o777 | os.ModeSticky, filepath.Dir(staging): 0o755} {
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{binary, "run", "--name", "thing", "--version", "1", "--root", "/media/root", "-o", out}
		args = append(append(args, flags...), "--", "env", environment[0], environment[1], "sh", "-euc", script)
		cmd := exec.Command("../scripts/as-user", args...)
		cmd.Env = append(environment, "TMPDIR="+staging, "AS_USER="+user, "AS_USER_ROOT="+root)
		untouched(t, root, func() { loud(t, cmd) })
		return theFiles(t, out)
	}
}
