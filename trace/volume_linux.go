package trace

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A volume is a file system on which something is recorded. Its device number may be
// another one after a reboot, so that the journal tells where it is mounted.
type volume struct {
	path string // host path of its root, or of a file that is mounted alone

	// wait says that its changes may be on the disk before the journal's records of
	// them, so that these must be waited for.
	wait bool
}

// A volumeRecord is a volume that is about to be met.
type volumeRecord struct {
	Device   uint64
	Path     []byte
	Ino      uint64 // of what is at the path
	Born     int64
	Volatile bool   `json:",omitempty"` // a reboot empties it
	Boot     string // in which boot the device has that number
}

// volumeOf records the file system of a spot, when it is first met.
func (r *recorder) volumeOf(s spot, device uint64) error {
	if r.volumes[device] != nil {
		return nil
	}
	at, err := openPath(s.dir, ".", 0)
	if err != nil {
		return err
	}
	if k, _, err := keyOf(at, ""); err == nil && k.dev != device { // the spot is a mount point
		unix.Close(at)
		if at, err = openPath(s.dir, s.name, unix.O_NOFOLLOW); err != nil {
			return err
		}
	}
	at = climb(at, device, func(int) bool { return true })
	defer unix.Close(at)
	k, _, err := keyOf(at, "")
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(at, &st); err != nil {
		return err
	}
	path, err := pathOf(at)
	if err != nil {
		return err
	}
	volatile := st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
	if err := r.journal.addJSON(recordVolume, volumeRecord{device, []byte(path), k.ino, k.born, volatile, bootID()}); err != nil {
		return err
	}
	r.volumes[device] = &volume{path, !volatile && (device != r.journal.device || r.journal.unordered)}
	return nil
}

// climb goes up from a directory as far as the file system reaches and it may. It takes
// over the descriptor, and returns another one.
func climb(at int, device uint64, may func(above int) bool) int {
	for {
		above, err := openPath(at, "..", 0)
		if err != nil { // no directory, but mounted
			return at
		}
		k, _, err := keyOf(above, "")
		here, _, hereErr := keyOf(at, "")
		if err != nil || hereErr != nil || k == here || k.dev != device || !may(above) {
			unix.Close(above)
			return at
		}
		unix.Close(at)
		at = above
	}
}

// bootID is random(4)'s; "" where it is not told.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// met finds a recorded volume again: its number is as it was in the same boot, or that
// of what is mounted at its path. What was on one that a reboot emptied is gone, and
// needs not to be put back.
func (j *journal) met(p *past, r *volumeRecord) error {
	path := string(r.Path)
	k, _, err := keyOf(unix.AT_FDCWD, path)
	switch {
	case err == nil && k.ino == r.Ino && k.born == r.Born:
	case r.Boot != "" && r.Boot == bootID():
		k.dev = r.Device
	case r.Volatile:
		j.devices[r.Device] = noDevice
		return nil
	default:
		return fmt.Errorf("the file system that was mounted on %q is not there", path)
	}
	j.devices[r.Device] = k.dev
	p.volumes[k.dev] = &volume{path, !r.Volatile && (k.dev != j.device || j.unordered)}
	return nil
}

// noDevice stands for the device of what is gone for good.
const noDevice = ^uint64(0)

// sync waits until all that was put back is on the disk, where that could come after
// the journal's end.
func (v *volume) sync() error {
	if !v.wait {
		return nil
	}
	f, err := os.Open(v.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %q: %w", v.path, err)
	}
	return nil
}
