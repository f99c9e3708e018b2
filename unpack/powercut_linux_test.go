package unpack

import (
	"os/exec"
	"path/filepath"
	"testing"
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
	needRoot(t)
	s := newScene(t, t.TempDir())
	verbs := s.verbs(t)
	for name, mkfs := range fileSystems {
		t.Run(name, func(t *testing.T) {
			_, err := exec.LookPath("mkfs." + name)
			need(t, "mkfs."+name, err == nil)
			for _, v := range verbs {
				s.cutPower(t, v, mkfs)
			}
		})
	}
}

// cutPower tries all power cuts in a verb.
func (s *scene) cutPower(t *testing.T, v verb, mkfs string) {
	t.Helper()
	dir := t.TempDir()
	sh(t, dir, "truncate -s 320M disk; mkdir mnt; "+mkfs+" disk; mount -o loop disk mnt; cp -aT '"+v.start+"' mnt/root")
	copyFlags(t, v.start, dir+"/mnt/root")
	sh(t, dir, "umount mnt")
	t.Cleanup(func() {
		if t.Failed() {
			_ = exec.Command("umount", dir+"/mnt").Run() // if it is mounted
		}
	})
	calls := s.countCalls(t, v)
	bad, states := 0, 0
	for n := 1; n <= calls+*every; n += *every {
		n := min(n, calls+1) // at last it is not stopped at all
		for _, synced := range []bool{false, true} {
			states++
			sh(t, dir, "cp --sparse=always disk running; mount -o loop running mnt")
			trial{Root: dir + "/mnt/root", Verb: v.verb, Arg: v.arg, KillAt: n}.run(t)
			if synced {
				sh(t, dir, "echo x > mnt/unrelated; sync mnt/unrelated")
			}
			sh(t, dir, "cp --sparse=always running cut; umount mnt; mount -o loop cut mnt")
			which := s.recovered(t, v, dir+"/mnt/root")
			if n > calls && which != v.end {
				t.Error("it had ended, and is lost")
			}
			if t.Failed() {
				bad++
				t.Logf("%s: power cut before call %d of %d, %v", v.verb, n, calls, synced)
			}
			sh(t, dir, "umount mnt")
			if bad > 0 {
				t.FailNow()
			}
		}
	}
	t.Logf("%s to %s: %d states, %d bad", v.verb, filepath.Base(v.end), states, bad)
}
