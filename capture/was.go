package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/sandbox-install/sandbox-install/internal/diff3"
	"github.com/sandbox-install/sandbox-install/plist"
)

// The largest text whose old lines are told, and how long those may be together.
const (
	maxText = 1 << 20
	maxOld  = 64 << 10
)

// RecordWas tells of all that was modified or deleted, noise apart, what it held
// before. That is what root, the directory that the command saw as /, holds: a capture
// leaves it as it was. So it is the same whatever the method. What can not be read
// there is not told.
func RecordWas(ctx context.Context, l *plist.List, tree plist.Tree, root *os.Root) error {
	err := Parallel(ctx, len(l.Entries), func(from, to int) error {
		for i := from; i < to; i++ {
			e := &l.Entries[i]
			changed := e.Op == plist.OpDelete || e.Changed&(plist.ChangedContent|plist.ChangedType) != 0
			if !changed || e.Class == plist.ClassNoise {
				continue
			}
			digest, err := heldIn(root, e.Path)
			if err != nil {
				return err
			}
			switch {
			case digest == plist.Digest{}:
			case digest == e.Digest && e.Changed&plist.ChangedContent != 0: // it was not put back: see --no-roll-back
			case e.Op == plist.OpDelete:
				e.Digest = digest
			default:
				e.Was = &plist.Was{Digest: digest}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range l.Entries { // in order, as trees like it
		e := &l.Entries[i]
		if e.Was == nil || !e.HasContent() || e.Size > maxText {
			continue
		}
		if err := tellOld(e, root, tree); err != nil {
			return err
		}
	}
	return nil
}

// heldIn returns the digest of what a path of a root holds; zero if there is nothing
// that has one.
func heldIn(root *os.Root, name string) (d plist.Digest, err error) {
	fi, err := root.Lstat(name)
	if err != nil {
		return d, ignoreUnreadable(err)
	}
	switch fi.Mode().Type() {
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return d, ignoreUnreadable(err)
		}
		return Digest(strings.NewReader(target))
	case 0:
		f, err := root.Open(name)
		if err != nil {
			return d, ignoreUnreadable(err)
		}
		d, err = Digest(f)
		return d, errors.Join(err, f.Close())
	}
	return d, nil
}

// Held returns the digest by which plist.Was tells what a file holds: its content, or
// a symlink's target. It is zero if e is neither.
func Held(e *plist.Entry) plist.Digest {
	if e.Mode.Type() != fs.ModeSymlink {
		return e.Digest
	}
	d, err := Digest(strings.NewReader(e.Link))
	if err != nil {
		panic(err) // a string can be read
	}
	return d
}

// ignoreUnreadable says that what is not there, or is another's, is not told.
func ignoreUnreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// tellOld tells the lines that a text had, if it is one still and they are not many.
func tellOld(e *plist.Entry, root *os.Root, tree plist.Tree) error {
	fi, err := root.Lstat(e.Path)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxText {
		return ignoreUnreadable(err)
	}
	before, err := root.Open(e.Path)
	if err != nil {
		return ignoreUnreadable(err)
	}
	old, err := readText(before)
	if err != nil || old == "" {
		return err
	}
	after, err := tree.Open(e.Path)
	if err != nil {
		return err
	}
	text, err := readText(after)
	if err != nil || text == "" && e.Size > 0 {
		return err
	}
	size := 0
	var lines []plist.OldLines
	for _, h := range diff3.Diff(text, old) {
		lines = append(lines, plist.OldLines(h))
		size += len(h.Text)
	}
	if size <= maxOld {
		e.Was.Old = lines
	}
	return nil
}

// readText reads a file to its end and closes it; it returns nothing if that is no
// text.
func readText(f io.ReadCloser) (string, error) {
	raw, err := io.ReadAll(f)
	if bytes.IndexByte(raw, 0) >= 0 {
		raw = nil
	}
	return string(raw), errors.Join(err, f.Close())
}
