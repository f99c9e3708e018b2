package trace

import (
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

var cutEvery = flag.Int("cut-every", 83, "cut the power only before each n-th step")

// cutCopy copies a disk that is in use as it is at one instant: if anything was written
// meanwhile, again.
const cutCopy = `cd "$1"
	was=
	until [ "$was" = "$(stat -c %y running)" ]; do
		was=$(stat -c %y running)
		cp --sparse=always running cut
	done`

// TestPowerCut kills a run before a step, copies the disk as it is without what is only
// in memory, and recovers on the copy, which is another device. Of two cuts one is
// after an unrelated file was synced: then metadata may be on the disk that was not to
// be yet. In the last state the run has ended.
func TestPowerCut(t *testing.T) {
	need.Root(t)
	for name, c := range map[string]struct{ mkfs, options string }{
		"ext4":  {"truncate -s 64M disk; mkfs.ext4 -q disk", "loop"},
		"xfs":   {"truncate -s 300M disk; mkfs.xfs -q disk", "loop,nouuid"}, // a copy may still be mounted in another's namespace
		"btrfs": {"truncate -s 120M disk; mkfs.btrfs -q disk", "loop"},
	} {
		t.Run(name, func(t *testing.T) {
			need.Program(t, "mkfs."+name)
			dir := t.TempDir()
			shell(t, `cd "$1"; `+c.mkfs+`; mkdir mnt; mount -o loop disk mnt; mkdir mnt/live mnt/staging`, dir)
			shell(t, crashBefore, dir+"/mnt/live")
			before := take(t, dir+"/mnt/live")
			shell(t, `cd "$1"; umount mnt`, dir)
			t.Cleanup(func() { _ = exec.Command("umount", "-q", dir+"/mnt").Run() }) // if a state was bad
			for n, killed := 0, true; killed; n += *cutEvery {
				killed = cutPower(t, n, dir, c.options)
				if same(t, take(t, dir+"/mnt/live"), before); t.Failed() {
					t.Fatalf("power cut before step %d", n)
				}
				if left := journals(t, dir+"/mnt/staging"); len(left) > 0 {
					t.Fatalf("power cut before step %d: left %q", n, left)
				}
				shell(t, `cd "$1"; umount mnt`, dir)
			}
		})
	}
}

// cutPower leaves the copy mounted and recovered, and reports whether the run was
// killed.
func cutPower(t *testing.T, n int, dir, options string) (killed bool) {
	t.Helper()
	shell(t, `cd "$1"; rm -f running cut; cp --sparse=always disk running; mount -o `+options+` running mnt`, dir)
	killed = crash(t, n, filepath.Join(dir, "mnt"), "run")
	if n%2 == 1 {
		shell(t, `cd "$1"; echo x >mnt/unrelated; sync mnt/unrelated`, dir)
	}
	shell(t, cutCopy, dir)
	// Its number goes to another device.
	shell(t, `cd "$1"; umount mnt; losetup -f --show disk >taken; mount -o `+options+` cut mnt; losetup -d $(cat taken)`, dir)
	if _, err := Recover(t.Context(), dir+"/mnt/staging"); err != nil {
		t.Errorf("power cut before step %d: %v", n, err)
	}
	return killed
}

// shell runs a script with a directory as its argument.
func shell(t *testing.T, script, dir string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.TrimSpace(script), err, out)
	}
}
