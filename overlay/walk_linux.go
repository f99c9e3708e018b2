package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A walker makes the list of one layer.
//
// The upper directory says where to look; merged compared with lower says what it
// is. So redirects, opaque directories, both kinds of whiteout and the index are
// understood by the kernel, which made them, and none of its words gets into the
// list.
type walker struct {
	layer  *layer
	mounts map[string]bool // the other layers' mount points, which tell for themselves

	points map[uint64]point  // other layers' mount points on this one, by inode number
	moved  map[string]string // where layers went, with the directories that they were mounted in
	came   bool              // this layer is at another path than before

	upper, lower, merged cursor

	list  []plist.Entry
	marks []mark // one for each entry of list
	links links
	notes []plist.Note
	kept  *keep
}

// A mark says what is still to be done with an entry once the walk is over.
type mark uint8

const (
	compare   mark = 1 << iota // was there before in the same size: compare the bytes
	unwritten                  // not in upper, or the same inode copied up: an entry only if something differs
	laterName                  // a new name of an inode that is in the list already: do not open it again
	closed                     // its content may not be read
	bare                       // new: what of its attributes is to be had by opening it is not read yet
)

// A place says in which trees there is the directory that the cursors stand in.
type place struct {
	upper, lower, merged bool

	// whole means that merged and lower must be compared name by name: the
	// directory is only in one of them, or it is another one in each.
	whole bool
}

// A file is a name in a tree.
type file struct {
	plist.Entry
	capture.Inode
	copiedUp bool // in upper, and a copy of a lower file
}

func (f *file) is(typ fs.FileMode) bool { return f != nil && f.Mode.Type() == typ }

// walk lists what changed in the layer, in order.
func (w *walker) walk(ctx context.Context) error {
	if w.layer.upper == nil {
		return w.visit(ctx, w.layer.path, path.Base(w.layer.path), place{lower: true, merged: true, whole: true})
	}
	at := place{upper: true, lower: true, merged: true}
	root := finding{path: w.layer.path, name: "."}
	err := w.look(&root, at)
	if err == nil {
		err = w.modified(&root, at)
	}
	if err != nil {
		return fmt.Errorf("harvest %q: %w", w.layer.path, err)
	}
	return w.dir(ctx, w.layer.path, at)
}

// dir visits all names of the current directory that may have changed.
func (w *walker) dir(ctx context.Context, dir string, at place) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := w.names(at)
	if w.isClosed(err) {
		w.noteClosed(dir)
		return nil
	}
	if err != nil {
		return fmt.Errorf("harvest %q: %w", dir, err)
	}
	for _, name := range names {
		below := join(dir, name)
		if w.mounts[below] {
			continue
		}
		if err := w.visit(ctx, below, name, at); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names of the current directory to be looked at, sorted.
func (w *walker) names(at place) (names []string, err error) {
	if !at.whole {
		return w.upper.names()
	}
	for _, tree := range []struct {
		there bool
		*cursor
	}{{at.lower, &w.lower}, {at.merged, &w.merged}} {
		if !tree.there {
			continue
		}
		more, err := tree.names()
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// A finding is a name of the current directory, as it was and as it is; nil where
// it was or is nothing.
type finding struct {
	path, name    string
	before, after *file
	written       bool // upper has the name
}

// visit lists one name of the current directory and all that is below it.
func (w *walker) visit(ctx context.Context, path, name string, at place) error {
	f := finding{path: path, name: name}
	err := w.look(&f, at)
	if err == nil && w.isMoved(&f) {
		return nil
	}
	if err == nil {
		err = w.record(&f, at)
	}
	if err != nil {
		return fmt.Errorf("harvest %q: %w", path, err)
	}
	if f.before.is(fs.ModeDir) || f.after.is(fs.ModeDir) {
		return w.descend(ctx, &f, at)
	}
	return nil
}

// look finds out what a name was and what it is. Of what it was only type and
// inode are read, which is enough for a deletion.
func (w *walker) look(f *finding, at place) (err error) {
	if at.lower {
		if f.before, err = kind(w.lower, f.name); err != nil {
			return err
		}
	}
	if at.merged {
		read := capture.Lstat
		if f.before == nil && !w.layer.isBelieved() {
			read = capture.LstatQuick // settle will open it
		}
		if f.after, err = w.lstat(w.merged, f.name, read); err != nil {
			return err
		}
		if f.after != nil {
			if err := w.layer.believe(&f.after.Entry, f.after.Inode); err != nil {
				return err
			}
		}
	}
	f.written = !at.whole
	if at.whole && at.upper && f.after != nil && (f.before != nil || w.layer.parts()) {
		upper, err := kind(w.upper, f.name)
		if err != nil {
			return err
		}
		f.written = upper != nil
	}
	if f.after == nil {
		return nil
	}
	f.after.copiedUp = f.before != nil && sameIno(f.before.Ino, f.after.Ino)
	if w.layer.parts() && f.written && !f.after.is(fs.ModeDir) {
		return w.identify(f)
	}
	return nil
}

// realIno is an inode number without the uppermost bits, in which xino tells the file
// systems of an overlay apart: upper has none of them set (overlayfs.rst).
func realIno(ino uint64) uint64 { return ino & (1<<56 - 1) }

// sameIno reports whether a number in merged is that of an inode in lower.
func sameIno(lower, merged uint64) bool {
	return lower == merged || merged != realIno(merged) && realIno(lower) == realIno(merged)
}

// record adds the entry of a name, if it has one.
func (w *walker) record(f *finding, at place) error {
	if f.before != nil && !f.before.is(fs.ModeDir) && !f.before.is(fs.ModeSocket) {
		w.links.met(f.path, f.before.Inode)
	}
	if f.after.is(fs.ModeSocket) {
		w.loseSocket(f)
	}
	switch {
	case f.before == nil && f.after == nil:
		// A whiteout over nothing: made and removed again.
	case f.after == nil:
		w.add(plist.Entry{Op: plist.OpDelete, Path: f.path, Mode: f.before.Mode.Type()}, 0)
	case f.before == nil:
		f.after.Op, f.after.Path = plist.OpAdd, f.path
		m := bare
		if w.layer.isBelieved() {
			m = 0 // look has read all, since the attributes may tell that it is something else
		}
		w.addFile(nil, f.after, m)
	case !f.after.is(f.before.Mode.Type()):
		f.after.Op, f.after.Path, f.after.Changed = plist.OpModify, f.path, plist.ChangedType
		w.addFile(nil, f.after, 0)
	default:
		return w.modified(f, at)
	}
	return nil
}

// loseSocket turns a socket into nothing and says so.
func (w *walker) loseSocket(f *finding) {
	w.notes = append(w.notes, plist.Note{
		Kind: plist.NoteLost,
		Text: fmt.Sprintf("socket %q was made or changed, and neither list nor tarball can hold it", "/"+f.path),
	})
	if f.after = nil; f.before.is(fs.ModeSocket) {
		f.before = nil
	}
}

// modified adds the entry of what is there before and after, as the same type.
func (w *walker) modified(f *finding, at place) error {
	before, err := w.lstat(w.lower, f.name, capture.Lstat)
	if err == nil {
		err = w.layer.believe(&before.Entry, before.Inode)
	}
	if err != nil {
		return err
	}
	after := f.after
	if after.is(fs.ModeDir) && !at.whole || after.copiedUp {
		w.layer.restore(&after.Entry, &before.Entry)
	}
	after.Op, after.Path = plist.OpModify, f.path
	after.Changed = capture.Difference(&before.Entry, &after.Entry)
	if after.is(fs.ModeDir) {
		if after.Changed != 0 {
			w.add(after.Entry, 0)
		}
		return nil
	}
	if w.layer.parts() && after.copiedUp {
		w.noteSetID(before, after)
	}
	var m mark
	if after.Mode.IsRegular() && after.Size == before.Size {
		m |= compare
	}
	if !f.written || after.copiedUp {
		m |= unwritten
	}
	w.addFile(before, after, m)
	return nil
}

// noteSetID says that a file has lost set-id bits as by a write, since the kernel takes them
// from what is written by anybody but the host's root.
func (w *walker) noteSetID(before, after *file) {
	const setID = fs.ModeSetuid | fs.ModeSetgid
	if before.Mode == after.Mode || before.Mode&^setID != after.Mode&^setID || before.Mode&after.Mode != after.Mode || before.ModTime.Equal(after.ModTime) {
		return
	}
	w.notes = append(w.notes, plist.Note{
		Kind: plist.NoteLost,
		Text: fmt.Sprintf("%q has no set-id bits any more: if they were not taken, but it was written, root's would be there", "/"+after.Path),
	})
}

// addFile adds the entry of something that is there. Its before is nil unless it
// was there as the same type.
func (w *walker) addFile(before, after *file, m mark) {
	if !after.is(fs.ModeDir) && !after.is(fs.ModeSymlink) {
		known := w.links.add(len(w.list), before, after)
		if known && m&compare == 0 {
			m |= laterName
		}
	}
	w.add(after.Entry, m)
}

func (w *walker) add(e plist.Entry, m mark) {
	w.list = append(w.list, e)
	w.marks = append(w.marks, m)
}

// descend goes into a directory, lists what is in it, and comes back.
func (w *walker) descend(ctx context.Context, f *finding, at place) error {
	next := place{lower: f.before.is(fs.ModeDir), merged: f.after.is(fs.ModeDir), whole: at.whole}
	both := next.lower && next.merged
	next.upper = f.written && next.merged && (both || w.layer.parts()) // where merged has a directory, upper has one or nothing
	next.whole = at.whole || !both
	err := w.move(f.name, next)
	if w.isClosed(err) {
		w.noteClosed(f.path)
		return nil
	}
	if err == nil && !next.whole {
		next.whole, err = w.layer.isReplaced(w.upper)
	}
	if err != nil {
		return fmt.Errorf("harvest %q: %w", f.path, err)
	}
	if next.whole && !at.whole {
		if err := w.expect(next); err != nil {
			return fmt.Errorf("harvest %q: %w", f.path, err)
		}
	}
	if err := w.dir(ctx, f.path, next); err != nil {
		return err
	}
	if err := w.move("..", next); err != nil {
		return fmt.Errorf("harvest %q: leave: %w", f.path, err)
	}
	return nil
}

// expect makes room for as many entries as there may be in a directory that is
// compared whole: see reserve.
func (w *walker) expect(at place) error {
	for _, tree := range []struct {
		there bool
		*cursor
	}{{at.lower, &w.lower}, {at.merged, &w.merged}} {
		if !tree.there {
			continue
		}
		n, err := tree.countBelow()
		if err != nil && !w.isClosed(err) {
			return err
		}
		w.list, w.marks = slices.Grow(w.list, n), slices.Grow(w.marks, n)
	}
	return nil
}

// move has all cursors go to a directory, or none.
func (w *walker) move(name string, to place) error {
	var moved []*cursor
	for _, tree := range []struct {
		there bool
		*cursor
	}{{to.upper, &w.upper}, {to.lower, &w.lower}, {to.merged, &w.merged}} {
		if !tree.there {
			continue
		}
		if err := tree.cursor.move(name); err != nil {
			for _, c := range moved {
				if err := c.move(".."); err != nil {
					return err
				}
			}
			return err
		}
		moved = append(moved, tree.cursor)
	}
	return nil
}

// lstat reads about a name; nil if there is no such name.
func (w *walker) lstat(at cursor, name string, read func(dir int, name string) (plist.Entry, capture.Inode, error)) (*file, error) {
	e, inode, err := read(at.fd, name)
	if w.isClosed(err) {
		e, inode, err = capture.LstatQuick(at.fd, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &file{Entry: e, Inode: inode}, err
}

// kind reads only type and inode of a name; nil if there is no such name.
func kind(at cursor, name string) (*file, error) {
	var st unix.Statx_t
	err := unix.Statx(at.fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_NLINK, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	f := &file{Inode: capture.Inode{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Nlink: st.Nlink}}
	f.Mode = plist.ModeFromUnix(uint32(st.Mode)).Type()
	return f, err
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
