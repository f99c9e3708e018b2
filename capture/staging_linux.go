package capture

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedStaging makes a staging directory in dir, whose name begins with prefix, and locks
// it by flock(2) as long as the file is open: one that is not locked is left over from a
// run that was killed, and SweepStaging removes it.
func LockedStaging(dir, prefix string) (locked *os.File, a Above, err error) {
	for range 10 {
		path, a, err := makeStaging(dir, func() (string, error) {
			path := filepath.Join(dir, prefix+rand.Text())
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

// SweepStaging removes what LockedStaging made in dir for runs that are dead.
func SweepStaging(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
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
	return os.RemoveAll(name)
}
