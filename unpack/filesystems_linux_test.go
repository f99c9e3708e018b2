package unpack

import (
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// disks are scripts that mount on mnt a file system in which root is the directory base.
var disks = map[string]string{
	"ext4":  "truncate -s 320M disk; mkfs.ext4 -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"xfs":   "truncate -s 320M disk; mkfs.xfs -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"btrfs": "truncate -s 320M disk; mkfs.btrfs -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"tmpfs": "mount -t tmpfs tmpfs mnt; cp -aT base mnt/root",
}

// TestFileSystems does every verb on every kind of disk.
func TestFileSystems(t *testing.T) {
	need.Root(t)
	s := newScene(t, t.TempDir())
	for name, script := range disks {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sh(t, dir, "mkdir mnt; cp -aT '"+s.old+"' base\n"+script)
			t.Cleanup(func() { sh(t, dir, "umount mnt; ! mountpoint -q space || umount space") })
			root := dir + "/mnt/root"
			r := open(t, root)
			for _, step := range []struct {
				verb verb
				want string
			}{
				{verb{verb: "unpack", arg: s.pkg1}, s.one},
				{verb{verb: "unpack", arg: s.pkg2}, s.two},
				{verb{verb: "undo"}, s.one},
				{verb{verb: "remove", arg: "thing"}, s.old},
				{verb{verb: "undo"}, s.one},
			} {
				check(t, step.verb.perform(r))
				expect(t, root, s.pictures[step.want])
			}
		})
	}
}
