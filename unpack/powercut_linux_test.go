package unpack

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// fileSystems are what a power cut is tried on, and how an image of it is made.
var fileSystems = map[string]string{
	"ext4":  "mkfs.ext4 -q",
	"xfs":   "mkfs.xfs -q",
	"btrfs": "mkfs.btrfs -q",
}

// TestPowerCut stops a verb before a call, copies the disk as it is without what
// is only in memory, and recovers on the copy. In the second variant an unrelated
// file was synced before: then metadata may be on the disk that was not to be yet.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	need.Root(t)
	s := newScene(t, t.TempDir())
	verbs := s.verbs(t)
	for name, mkfs := range fileSystems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need.Program(t, "mkfs."+name)
			for _, v := range verbs {
				s.cutPower(t, v, mkfs, trial{})
			}
			s.cutPower(t, verbs[5], mkfs, trial{Plain: true}) // it has no symlinks: sync(2) would hide what is forgotten
		})
	}
}

// cut copies a disk that is in use as it is at one instant: if anything was written
// meanwhile, again.
const cut = `
	was=
	until [ "$was" = "$(stat -c %y running)" ]; do
		was=$(stat -c %y running)
		cp --sparse=always running cut
	done
`

// cutPower tries all power cuts in a verb, which is carried out like a trial.
func (s *scene) cutPower(t *testing.T, v verb, mkfs string, tr trial) {
	t.Helper()
	dir := t.TempDir()
	sh(t, dir, "truncate -s 320M disk; mkdir mnt; "+mkfs+" disk")
	unmount := mount(t, dir, "disk")
	sh(t, dir, "cp -aT '"+v.start+"' mnt/root")
	copyFlags(t, v.start, dir+"/mnt/root")
	unmount()
	calls := s.countCalls(t, v)
	bad, states := 0, 0
	for n := 1; n <= calls+*every; n += *every {
		n := min(n, calls+1) // at last it is not stopped at all
		for _, synced := range []bool{false, true} {
			states++
			sh(t, dir, "cp --sparse=always disk running")
			unmount := mount(t, dir, "running")
			tr.Root, tr.Verb, tr.Arg, tr.KillAt = dir+"/mnt/root", v.verb, v.arg, n
			tr.run(t)
			if synced {
				sh(t, dir, "echo x > mnt/unrelated; sync mnt/unrelated")
			}
			sh(t, dir, cut)
			unmount()
			unmount = mount(t, dir, "cut")
			which := s.recovered(t, v, dir+"/mnt/root")
			if n > calls && which != v.end {
				t.Error("it had ended, and is lost")
			}
			if t.Failed() {
				bad++
				t.Logf("%s: power cut before call %d of %d, %v", v.verb, n, calls, synced)
			}
			unmount()
			if bad > 0 {
				t.FailNow()
			}
		}
	}
	t.Logf("%s to %s: %d states, %d bad", v.verb, filepath.Base(v.end), states, bad)
}

// mount mounts an image on dir/mnt. A loop device that another test has just given
// back may refuse at first.
func mount(t *testing.T, dir, image string) (unmount func()) {
	t.Helper()
	device := strings.TrimSpace(sh(t, dir, `
		for i in 1 2 3 4 5; do
			device=$(losetup --find --show `+image+`) || { sleep 0.2; continue; }
			blockdev --flushbufs $device # what is cached of an image that it was before
			if mount $device mnt 2> mount-error; then echo $device; exit; fi
			losetup --detach $device
			sleep 0.2
		done
		cat mount-error
		exit 1`))
	once := sync.OnceFunc(func() { // others' tests that look at all mounts keep it busy for a moment
		sh(t, dir, `
			for i in 1 2 3 4 5 6 7 8 9; do umount mnt 2>/dev/null && break; sleep 0.2; done
			! mountpoint --quiet mnt || umount mnt
			losetup --detach `+device)
	})
	t.Cleanup(once)
	return once
}
