package overlay

import (
	"os/exec"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// File systems of every kind are lower layers, and hold the staging area too.
func TestFileSystems(t *testing.T) {
	for _, fs := range []struct{ name, mkfs string }{
		{"ext4", "mkfs.ext4 -q -F"}, {"xfs", "mkfs.xfs -q"}, {"btrfs", "mkfs.btrfs -q"},
	} {
		t.Run(fs.name, func(t *testing.T) {
			if _, err := exec.LookPath("mkfs." + fs.name); err != nil {
				need.Lacks(t, fs.name, err)
			}
			if !privately(t) {
				return
			}
			s := newScene(t, script(`
				mv dir moved; rm gone; echo more >> a
				echo new > new; ln new link; setfattr -n user.x -v y a
				test "$(stat -c %i a)" = "$(stat -c %i b)"; test "$(cat b)" = "$(printf 'a\nmore')"`)...)
			disk := t.TempDir()
			sh(t, t.TempDir(), `truncate -s 320M image; `+fs.mkfs+` image; mount -o loop image `+disk+`; cd `+disk+`
				mkdir stage tree; cd tree; echo a > a; ln a b; mkdir -p dir/sub; echo f > dir/sub/f; touch gone`)
			t.Cleanup(func() { sh(t, "/", "umount --lazy "+disk) })
			s.dir, s.cmd.Dir, s.cmd.Staging = disk+"/tree", disk+"/tree", disk+"/stage"
			r := s.run()
			want(t, "status", r.ExitCode, 0)
			want(t, "output", s.out.String(), "")
			want(t, "notes", len(r.List.Notes), 0)
			want(t, "changes", changes(r.List, s.dir), []string{
				"M a", "M b", "D dir", "D dir/sub", "D dir/sub/f", "D gone", "A link",
				"A moved", "A moved/sub", "A moved/sub/f", "A new",
			})
		})
	}
}
