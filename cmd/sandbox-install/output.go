package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// An output is a file being written beside its name, which it gets only when it
// is whole. (google/renameio does the same, but not for Windows.)
type output struct {
	*os.File
	name     string
	finished bool // closed, and safe on disk
	ended    bool // has its name, or is gone
}

// mayCreate is asked before a long installation, and writes nothing: is there a
// directory for the file, and may it have such a name there?
func mayCreate(name string) error {
	dir := filepath.Dir(name)
	if st, err := os.Stat(dir); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return fmt.Errorf("%s is a directory", name)
	}
	if _, err := os.Lstat(besideName(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return mayWrite(dir)
}

// create begins a file, with the permissions that the umask leaves of perm. Always
// defer its discard.
func create(name string, perm os.FileMode) (*output, error) {
	f, err := os.OpenFile(besideName(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return &output{File: f, name: name}, nil
}

// besideName is a new name beside a file's.
func besideName(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text()[:10])
}

// finish makes the content durable: all that can fail for want of room.
func (o *output) finish() error {
	if o.finished {
		return nil
	}
	o.finished = true
	return errors.Join(o.Sync(), o.Close())
}

// commit gives the finished file its name, in place of what had it.
func (o *output) commit() error {
	if err := o.finish(); err != nil {
		return err
	}
	if err := os.Rename(o.File.Name(), o.name); err != nil {
		return err
	}
	o.ended = true
	return nil
}

// discard takes away a file that was not committed. It is called where an error
// is being reported already; a second one would say no more.
func (o *output) discard() {
	if !o.ended {
		o.ended = true
		if !o.finished {
			_ = o.Close()
		}
		_ = os.Remove(o.File.Name())
	}
}

// writeFile writes a whole file, or nothing.
func writeFile(name string, data []byte, perm os.FileMode) error {
	o, err := create(name, perm)
	if err != nil {
		return err
	}
	defer o.discard()
	if _, err := o.Write(data); err != nil {
		return err
	}
	return o.commit()
}
