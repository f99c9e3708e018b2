package trace

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A batch of records is an attribute of an empty file: one more record takes a fifth of
// the time that a symlink does.
const (
	batchXattr = "user.sandbox-install.records" // each ends in NUL
	maxBatch   = 1500                           // longer ones XFS does not keep in order
)

// errNoBatch says that a record has to stand alone.
var errNoBatch = errors.New("no batch")

// append adds a record to the batch, or to a new one.
func (j *journal) append(text string) error {
	if j.plain || j.unordered || len(text) >= maxBatch/2 {
		return errNoBatch
	}
	if j.batch != nil && len(j.text)+len(text) < maxBatch {
		if j.setBatch(text) == nil {
			return nil
		}
		// It may be too long for this file system, which says ENOSPC as for a full disk.
	}
	if err := j.newBatch(); err != nil {
		return err
	}
	err := j.setBatch(text)
	if err == nil {
		return nil
	}
	if err == unix.ENOTSUP {
		j.plain, err = true, errNoBatch
	}
	return errors.Join(err, j.dropBatch())
}

func (j *journal) setBatch(text string) error {
	longer := append(append(j.text[:len(j.text):len(j.text)], text...), 0)
	err := unix.Fsetxattr(int(j.batch.Fd()), batchXattr, longer, 0)
	if err == nil {
		j.text = longer
	}
	return err
}

func (j *journal) newBatch() (err error) {
	if err := j.endBatch(); err != nil {
		return err
	}
	j.batch, err = os.OpenFile(j.batchPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

func (j *journal) batchPath() string { return filepath.Join(j.path, "log", strconv.Itoa(j.last+1)) }

// dropBatch takes back a new batch that could not get a record.
func (j *journal) dropBatch() error {
	return errors.Join(j.endBatch(), os.Remove(j.batchPath()))
}

// endBatch closes the batch: the numbers of what follows are others'.
func (j *journal) endBatch() error {
	if j.batch == nil {
		return nil
	}
	err := j.batch.Close()
	j.batch, j.text = nil, nil
	return err
}
