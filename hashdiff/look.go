package hashdiff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
)

// tries is how often a file is read that is being written meanwhile.
const tries = 3

// look returns the record of a name, or nil if there is no such name, or it is
// to be passed over.
func (it *item) look(s *Scanner, t *Tally) *Record {
	for n := 1; ; n++ {
		began := time.Now()
		stamp, mode, err := it.dir.stat(it.name)
		switch {
		case isGone(err):
			t.Vanished++
			return nil
		case err == nil && !mode.IsDir() && s.scope.skips(stamp):
			return nil
		case err == nil && it.isKnown(&stamp):
			t.Reused++
			return it.earlier
		}
		r := &Record{Stamp: stamp, Racy: stamp.isRacy(began)}
		if err == nil {
			err = it.read(r, s.options.Stat)
		}
		after, _, afterErr := it.dir.stat(it.name)
		if steady := afterErr == nil && after == stamp; steady || n == tries {
			it.conclude(r, t, err)
			if !steady {
				t.Unsteady++
				r.Racy = true
			}
			return r
		}
	}
}

// isKnown reports whether the earlier record still tells all.
func (it *item) isKnown(stamp *Stamp) bool {
	return it.earlier != nil && it.trouble == "" && it.earlier.reusable() && sameStamp(stamp, &it.earlier.Stamp)
}

// read reads attributes and content.
func (it *item) read(r *Record, statOnly bool) (err error) {
	if r.Entry, err = it.dir.lstat(it.name); err != nil || !r.Mode.IsRegular() || statOnly {
		return err
	}
	f, err := it.dir.openFile(it.name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if err := checkRegular(f); err != nil {
		return err
	}
	if r.Digest, err = capture.Digest(f); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	r.Hashed = true
	return nil
}

// checkRegular refuses what took the name of a regular file before it was opened: to
// read a fifo waits for its writer.
func checkRegular(f *os.File) error {
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it became another kind of file")
	}
	return err
}

// conclude finishes a record that was read with or without an error.
func (it *item) conclude(r *Record, t *Tally, err error) {
	r.Path = it.path
	switch {
	case err != nil:
		r.Unread = err.Error()
	case it.trouble != "":
		r.Unread = it.trouble
	}
	if r.Unread != "" {
		t.Unread++
	}
	if r.Hashed {
		t.Hashed++
		t.Bytes += r.Size
	}
}

// isGone reports whether an error says that there is no such name any more.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
