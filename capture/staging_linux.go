package capture

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedStaging makes a staging directory in dir, whose name begins with prefix, and locks
// it by flock(2) as long as the file is open: one that is not locked is left over from a
// run that was killed, and SweepStaging removes it.
func LockedStaging(dir, prefix string) (locked *os.File, a Above, err error) {
	where, err := placeOf(dir)
	if err != nil {
		return nil, Above{}, err
	}
	for range 10 {
		path, a, err := makeStaging(dir, func() (string, error) {
			path := filepath.Join(dir, prefix+where.String()+rand.Text())
			return path, os.Mkdir(path, 0o700)
		})
		if err != nil {
			return nil, Above{}, err
		}
		locked, err := os.Open(path)
		if err == nil {
			if unix.Flock(int(locked.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && stillThere(locked) {
				return locked, a, nil
			}
			_ = locked.Close() // another run has taken it for a dead one before it was locked
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, Above{}, err
		}
	}
	return nil, Above{}, errors.New("every new directory is removed at once")
}

func stillThere(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, found)
}

// A place is where a staging directory was made. In a sandbox those of the host are seen
// through a union, which knows nothing of their locks (overlayfs.rst), but as on another
// device.
type place struct {
	boot   string // begins /proc/sys/kernel/random/boot_id (random(4)): a device's number is as old
	device uint64
}

func placeOf(dir string) (place, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return place{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return place{}, err
	}
	return place{strings.SplitN(string(boot), "-", 2)[0], st.Dev}, nil
}

// String is what follows the prefix of a name.
func (p place) String() string { return fmt.Sprintf("%s-%x-", p.boot, p.device) }

// knows reports whether the locks of what has a name are seen from a place: what was made
// there, or before the machine was started.
func (p place) knows(name string) bool {
	boot, rest, ok := strings.Cut(name, "-")
	device, _, there := strings.Cut(rest, "-")
	return ok && there && (boot != p.boot || device == strconv.FormatUint(p.device, 16))
}

// SweepStaging removes what LockedStaging made in dir for runs that are dead.
func SweepStaging(dir, prefix string) error {
	here, err := placeOf(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrPermission) { // a directory may let us make names, and not read them
		return err
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), prefix); !e.IsDir() || !ok || !here.knows(name) {
			continue
		}
		err := removeDead(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // of other ids: a run with them can
			continue
		}
		if err != nil {
			return fmt.Errorf("remove what a killed run left: %w", err)
		}
	}
	return nil
}

// removeDead removes a staging directory that nobody locks. One that somebody
// else owns is none of ours.
func removeDead(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o7777 != 0o700 || unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	return RemoveTree(name)
}
