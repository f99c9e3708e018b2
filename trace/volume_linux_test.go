package trace

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

// After a reboot, what was on a file system that it emptied needs not to be put back;
// one that is not mounted yet is waited for.
func TestVolumes(t *testing.T) {
	for _, volatile := range []bool{true, false} {
		staging := t.TempDir()
		j, err := newJournal(staging)
		if err != nil {
			t.Fatal(err)
		}
		const device = 12345
		dir := &inode{key: key{device, 2, 3}, id: 2, nlink: 2, before: plist.Entry{Path: "gone", Mode: plist.ModeFromUnix(0o40755), ModTime: timeOf(1, 0)}}
		for _, err := range []error{
			j.addJSON(recordVolume, volumeRecord{Device: device, Path: []byte(staging), Ino: 1, Born: 1, Volatile: volatile, Boot: "another"}),
			j.addInode(dir), j.add("N2 name"), j.add("P2 other"), j.flush(), j.close(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if j, err = openJournal(filepath.Clean(j.path)); err != nil {
			t.Fatal(err)
		}
		p, err := j.read()
		switch {
		case volatile && (err != nil || len(p.places) > 0 || len(p.inodes) > 0):
			t.Errorf("read %+v, %v, want nothing to be put back", p, err)
		case !volatile && (err == nil || !strings.Contains(err.Error(), "is not there")):
			t.Errorf("%v, want that the file system is not there", err)
		}
		if err := j.close(); err != nil {
			t.Error(err)
		}
	}
}
