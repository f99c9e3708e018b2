package rebase

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/zeebo/blake3"
)

// A replacement puts a new file in the place of an old one in two steps: stage
// writes and flushes it under another name in the same directory, commit gives
// it the name. Whoever has the old file open keeps it.
type replacement struct {
	root *os.Root
	name string      // slash-separated
	old  fs.FileInfo // whose attributes the new file gets; nil if there is none
}

// staged is the name of the new file until commit. It depends on nothing but the
// final name: what a crash left behind is overwritten by the next try.
func (r *replacement) staged() string {
	sum := blake3.Sum256([]byte(path.Base(r.name)))
	return path.Join(path.Dir(r.name), ".rebase-"+hex.EncodeToString(sum[:8]))
}

// stage writes the new file, with the attributes of the old one, and flushes it.
// If it fails nothing is left.
func (r *replacement) stage(content []byte) error {
	err := r.create(content)
	if err != nil {
		err = errors.Join(fmt.Errorf("stage: %w", err), r.discard())
	}
	return err
}

func (r *replacement) create(content []byte) error {
	if err := r.discard(); err != nil {
		return err
	}
	f, err := r.root.OpenFile(r.staged(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, r.mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && r.old != nil {
		err = r.copyAttributes(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (r *replacement) mode() fs.FileMode {
	if r.old == nil {
		return 0o644
	}
	return r.old.Mode()
}

// copyAttributes gives the new file owner, extended attributes, mode and times
// of the old one, in this order: a change of owner clears set-id bits and file
// capabilities (chown(2)).
func (r *replacement) copyAttributes(f *os.File) error {
	if err := copyOwner(f, r.old); err != nil {
		return err
	}
	if err := copyXattrs(f, r.root, r.name); err != nil {
		return err
	}
	if err := f.Chmod(r.old.Mode()); err != nil {
		return err
	}
	return r.root.Chtimes(r.staged(), r.old.ModTime(), r.old.ModTime())
}

// commit gives the staged file its name.
func (r *replacement) commit() error {
	return r.root.Rename(r.staged(), r.name)
}

// discard removes the staged file, if there is one.
func (r *replacement) discard() error {
	if err := r.root.Remove(r.staged()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
