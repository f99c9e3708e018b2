package hashdiff

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A staging is the directory that holds all that a run needs, and what is needed
// to roll it back after it was killed.
type staging struct {
	path  string
	lock  *os.File // locked as long as the run lives
	above capture.Above

	// found says that another process made it, which was killed. The power may have been
	// cut, too, so that a file has another content and the same stamp.
	found bool
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
	path, above, err := capture.MkdirStaging(dir, stagingPrefix)
	if err != nil {
		return nil, err
	}
	s := &staging{path: path, above: above}
	if s.lock, err = lock(s.file(nameLock)); err == nil {
		_, err = fmt.Fprintln(s.lock, above)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return s, nil
}

// reopen locks the staging directory of a run that was killed.
func reopen(path string) (s *staging, err error) {
	s = &staging{path: path, found: true}
	if s.lock, err = lock(s.file(nameLock)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(s.lock)
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	s.above, _ = capture.ParseAbove(string(text)) // a run that was killed before it wrote them has none
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

// disarm says on disk that the live tree is as it was: what is written to it from now
// on is nothing to be rolled back.
func (s *staging) disarm() error {
	return errors.Join(os.Remove(s.file(nameArmed)), syncAll(s.path))
}

func (s *staging) isArmed() bool {
	_, err := os.Lstat(s.file(nameArmed))
	return err == nil
}

// remove takes the staging directory away. The one above gets its time back, if
// nothing else wrote to it meanwhile.
func (s *staging) remove() error {
	return s.above.Removing(s.path, func() error {
		if runtime.GOOS == "windows" { // what is open can not be removed there
			return errors.Join(s.lock.Close(), removeTree(s.path))
		}
		return errors.Join(removeTree(s.path), s.lock.Close())
	})
}
