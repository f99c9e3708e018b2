package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A keep holds contents by their digest: what a file held before the command was
// run. They are clones or copies, never hard links: a link would be written to
// with the file, and change the link counts that the command sees.
type keep struct{ dir string }

func (k keep) file(d plist.Digest) string {
	s := d.String()
	return filepath.Join(k.dir, s[:2], s[2:])
}

// open opens the content that a record had.
func (k keep) open(r *Record) (*os.File, error) { return os.Open(k.file(r.Digest)) }

// spare is how much space stays free for the command.
const spare = 1 << 30

// fill keeps the content of all files of a source.
func (k keep) fill(ctx context.Context, root *os.Root, before Source) error {
	free, err := freeSpace(k.dir)
	if err != nil {
		return err
	}
	room := free - spare
	for {
		r, err := before.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if !r.Mode.IsRegular() {
			continue
		}
		copied, err := k.keep(root, r, room)
		if err != nil {
			return fmt.Errorf("keep %q: %w", "/"+r.Path, err)
		}
		room -= copied
	}
}

// errNoSpace says that the tree is too large to be kept.
var errNoSpace = errors.New("not enough space to keep a copy of all files")

// keep keeps one content, and returns how much space it took.
func (k keep) keep(root *os.Root, r *Record, room int64) (copied int64, err error) {
	if r.Unread != "" {
		return 0, errors.New(r.Unread)
	}
	name := k.file(r.Digest)
	if _, err := os.Lstat(name); err == nil {
		return 0, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return 0, err
	}
	from, err := openRegular(root, r.Path)
	if err != nil {
		return 0, err
	}
	defer from.Close() //nolint:errcheck // only read
	to, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	copied, err = copyWithin(to, from, room)
	if err == nil {
		err = errors.Join(verify(to, r.Digest), syncFile(to))
	}
	return copied, errors.Join(err, to.Close())
}

// copyWithin clones or copies a file, if there is room for that, and returns how much
// space it took.
func copyWithin(to, from *os.File, room int64) (copied int64, err error) {
	if cloneFile(to, from) == nil {
		return 0, nil
	}
	st, err := from.Stat()
	if err != nil {
		return 0, err
	}
	if copied = spaceOf(st); copied > room {
		return 0, errNoSpace
	}
	return copied, copyFile(to, from)
}

// A keptTree opens what the files of a list held when they were kept.
type keptTree struct {
	keep
	list *plist.List
}

// Open opens the content of a path.
func (t *keptTree) Open(path string) (plist.File, error) {
	e := t.list.Find(path)
	if e == nil || !e.Mode.IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	f, err := os.Open(t.file(e.Digest))
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// written is the Source of a list's files.
type written struct{ entries []plist.Entry }

func (w *written) Next() (*Record, error) {
	for len(w.entries) > 0 {
		e := w.entries[0]
		w.entries = w.entries[1:]
		if e.HasContent() {
			return &Record{Entry: e}, nil
		}
	}
	return nil, io.EOF
}

// verify reports whether a file holds what it should.
func verify(f *os.File, want plist.Digest) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := capture.Digest(f)
	if err == nil && got != want {
		err = errors.New("its content changed since the snapshot")
	}
	return err
}
