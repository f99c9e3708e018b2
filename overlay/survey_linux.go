package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A survey is what a layout is made from.
type survey struct {
	root   string   // host path of the root: "/" or a directory
	mounts []mount  // the visible ones of the whole host
	disks  []string // device nodes below /dev that lead to storage
	runs   []string // what there is of "run" and "var/run" in the root, as entry paths
}

// A mount is one line of mountinfo that a path really leads to.
type mount struct {
	point   string // host path
	device  string // major:minor of the file system
	root    string // what of it is mounted, as a path in it
	fstype  string
	options string // of the mount, comma-separated
	super   string // of the file system
	virtual bool   // no block device of its own
	mode    uint32 // the type bits of what is mounted: a directory, a file, a device
	err     error  // why it can not be looked at
}

// look makes the survey of a root.
func look(root string) (*survey, error) {
	table, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	s := &survey{root: root}
	for _, info := range table {
		if m, ok := visible(info); ok {
			s.mounts = append(s.mounts, m)
		}
	}
	if s.holder("/") == nil {
		return nil, errChroot
	}
	if s.disks, err = storageNodes("/dev"); err != nil {
		return nil, fmt.Errorf("look for disks: %w", err)
	}
	for _, run := range []string{"run", "var/run"} {
		if info, err := os.Lstat(filepath.Join(root, run)); err == nil && info.IsDir() {
			s.runs = append(s.runs, run)
		}
	}
	return s, nil
}

// errChroot: what is mounted over a directory that is no mount point itself may
// appear on the host, and only at a mount point can that be switched off.
var errChroot = errors.New("the root directory is no mount point, as in a chroot")

// visible describes a mount, unless another one hides it: mounts are often
// stacked, and only the topmost one is what its mount point leads to.
func visible(info *mountinfo.Info) (mount, bool) {
	m := mountOf(info)
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC // whose server may be dead
	err := unix.Statx(unix.AT_FDCWD, m.point, flags, unix.STATX_TYPE|unix.STATX_MNT_ID, &st)
	if errors.Is(err, fs.ErrNotExist) { // hidden, or its directory was removed
		return m, false
	}
	if err != nil { // somebody's FUSE mount, which root may not look into (fuse(4))
		m.err = err
		return m, true
	}
	m.mode = uint32(st.Mode) & unix.S_IFMT
	return m, st.Mnt_id == uint64(info.ID)
}

// mountOf takes from a line what a layout needs.
func mountOf(info *mountinfo.Info) mount {
	return mount{
		point:   info.Mountpoint,
		device:  fmt.Sprintf("%d:%d", info.Major, info.Minor),
		root:    info.Root,
		fstype:  info.FSType,
		options: info.Options,
		super:   info.VFSOptions,
		virtual: info.Major == 0,
	}
}

// hasOption reports whether a comma-separated list holds word.
func hasOption(options, word string) bool {
	return slices.Contains(strings.Split(options, ","), word)
}

// storageNodes lists the device nodes below dir through which a disk can be
// written past every overlay, and the memory and watchdog that have no place in
// an installation either.
func storageNodes(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name != dir || errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile; or a chroot without /dev
			}
			return err
		}
		if d.IsDir() && (name == dir+"/pts" || name == dir+"/shm") {
			return filepath.SkipDir
		}
		if d.Type()&fs.ModeDevice == 0 {
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(name, &st) == nil && leadsToStorage(&st, filepath.Base(name)) {
			found = append(found, name)
		}
		return nil
	})
	return found, err
}

// leadsToStorage decides by device numbers where they are fixed
// (Documentation/admin-guide/devices.txt), by name where they are not.
func leadsToStorage(st *unix.Stat_t, name string) bool {
	major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return major != 7 // loop devices show files, which are overlaid themselves
	}
	switch major {
	case 1: // mem, kmem, port
		return minor == 1 || minor == 2 || minor == 4
	case 10: // watchdog, nvram
		return minor == 130 || minor == 144
	case 21, 90: // SCSI generic, memory technology devices
		return true
	}
	return strings.HasPrefix(name, "nvme") || strings.HasPrefix(name, "watchdog") || strings.HasPrefix(name, "ng")
}
