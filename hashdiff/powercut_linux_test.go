package hashdiff

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// TestPowerCut cuts the power when a command has ended, and when what it did is rolled
// back: a copy of the disk, without what is only in memory, is another device, and is
// recovered. A file that nobody touched stays the same one.
func TestPowerCut(t *testing.T) {
	need.Root(t)
	for name, c := range map[string]struct{ mkfs, options string }{
		"ext4":  {"truncate -s 1500M disk; mkfs.ext4 -q disk", "loop"},      // it clones no files: see spare
		"xfs":   {"truncate -s 300M disk; mkfs.xfs -q disk", "loop,nouuid"}, // a copy may still be mounted in another's namespace
		"btrfs": {"truncate -s 120M disk; mkfs.btrfs -q disk", "loop"},
	} {
		t.Run(name, func(t *testing.T) {
			need.Program(t, "mkfs."+name)
			t.Run("after the command", func(t *testing.T) {
				cutPower(t, c.mkfs, c.options, []string{"/"}, func(r *run) error {
					if err := r.prepare(t.Context()); err != nil {
						return err
					}
					_, err := r.execute(t.Context())
					return err
				})
			})
			t.Run("after the roll back", func(t *testing.T) {
				cutPower(t, c.mkfs, c.options, nil, func(r *run) error {
					if _, err := r.run(t.Context()); err != nil {
						return err
					}
					return r.end()
				})
			})
		})
	}
}

// cutPower has do run a command that disturbs a forest on a new disk. The roots are those
// that are left to be rolled back.
func cutPower(t *testing.T, mkfs, options string, roots []string, do func(*run) error) {
	t.Helper()
	forest := forestOf(3)
	dir, cmd := livePlace(t, capturetest.Forest{})
	mounts(t, dir, mkfs+"; mkdir mnt; mount -o loop disk mnt; mkdir mnt/live mnt/staging; echo x >mnt/live/quiet")
	forest.Plant(t, dir+"/mnt/live")
	t.Cleanup(func() { _ = exec.Command("umount", "-q", dir+"/mnt").Run() }) // if it ends on its way
	before := capturetest.Take(t, dir+"/mnt/live")
	mounts(t, dir, "umount mnt; cp --sparse=always disk running; mount -o "+options+" running mnt")

	cmd.Staging = filepath.Join(dir, "mnt/staging")
	cmd.Env = append(command("", forest).Env, disturbRoot+"="+dir+"/mnt/live")
	s, err := newStaging(cmd.Staging)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.lock.Close() })
	r := &run{method: &Method{Scope: []string{dir + "/mnt/live"}, RollBack: true}, cmd: cmd, staging: s}
	if err := do(r); err != nil {
		t.Fatal(err)
	}
	mounts(t, dir, "cp --sparse=always running cut")
	s.lock.Close()
	// Its number goes to another device.
	mounts(t, dir, "umount mnt; losetup -f --show disk >taken; mount -o "+options+" cut mnt; losetup -d $(cat taken)")
	if recovered, err := Recover(t.Context(), cmd.Staging); err != nil || !slices.Equal(recovered, roots) {
		t.Errorf("recovered %q, %v", recovered, err)
	}
	after := capturetest.Take(t, dir+"/mnt/live")
	samePicture(t, after, before)
	_, was, _ := strings.Cut(before["quiet"].Inode, ":")
	if _, is, _ := strings.Cut(after["quiet"].Inode, ":"); was != is {
		t.Errorf("a file that nobody touched was inode %s and is %s", was, is)
	}
	isEmpty(t, cmd.Staging)
	mounts(t, dir, "umount mnt")
}

// mounts runs a script in a directory, in the same mount namespace.
func mounts(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
