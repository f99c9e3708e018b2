package hashdiff

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A staging is the directory that holds all that a run needs, and what is needed
// to roll it back after it was killed.
type staging struct {
	path string
	lock *os.File // locked as long as the run lives

	was, made time.Time // modification times of the directory above: before this one, and since
}

// The names in a staging directory.
const (
	nameLock   = "lock"
	nameBefore = "before" // the first snapshot
	nameKeep   = "keep"   // contents by digest
	nameArmed  = "armed"  // is there while a live tree may have to be rolled back
	nameRoom   = "room"   // the copy of a root
)

const stagingPrefix = "sandbox-install-hashdiff-"

// defaultStaging is where file-hierarchy(7) wants what is large and should outlive
// a reboot.
func defaultStaging() string {
	if st, err := os.Stat("/var/tmp"); err == nil && st.IsDir() && runtime.GOOS != "windows" {
		return "/var/tmp"
	}
	return os.TempDir()
}

func newStaging(dir string) (*staging, error) {
	if dir == "" {
		dir = defaultStaging()
	}
	above, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(dir, stagingPrefix)
	if err != nil {
		return nil, err
	}
	s := &staging{path: path, was: above.ModTime()}
	if above, err = os.Stat(dir); err == nil {
		s.made = above.ModTime()
		s.lock, err = lock(s.file(nameLock))
	}
	if err == nil {
		_, err = fmt.Fprintln(s.lock, s.was.UnixNano(), s.made.UnixNano())
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return s, nil
}

// reopen locks the staging directory of a run that was killed.
func reopen(path string) (s *staging, err error) {
	s = &staging{path: path}
	if s.lock, err = lock(s.file(nameLock)); err != nil {
		return nil, err
	}
	var was, made int64
	if _, err := fmt.Fscan(s.lock, &was, &made); err == nil { // else it was killed before it wrote them
		s.was, s.made = time.Unix(0, was), time.Unix(0, made)
	}
	return s, nil
}

func (s *staging) file(name string) string { return filepath.Join(s.path, name) }

func (s *staging) inode() (capture.Inode, error) { return InodeOf(s.path) }

// arm says on disk that the live tree may have to be rolled back. What it will be
// rolled back with must be on disk before.
func (s *staging) arm() error {
	if err := syncAll(s.path); err != nil {
		return err
	}
	f, err := os.Create(s.file(nameArmed))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncAll(s.path))
}

func (s *staging) isArmed() bool {
	_, err := os.Lstat(s.file(nameArmed))
	return err == nil
}

// remove takes the staging directory away. The one above gets its time back, if
// nothing else wrote to it meanwhile.
func (s *staging) remove() error {
	dir := filepath.Dir(s.path)
	above, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // what is open can not be removed there
		err = errors.Join(s.lock.Close(), removeTree(s.path))
	} else {
		err = errors.Join(removeTree(s.path), s.lock.Close())
	}
	if err == nil && above.ModTime().Equal(s.made) {
		_ = os.Chtimes(dir, time.Time{}, s.was) // in /tmp only root may
	}
	return err
}
