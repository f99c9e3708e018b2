//go:build linux && amd64

package redirect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A harvester makes the list: it walks the staging tree and compares.
type harvester struct {
	*view
	list  []plist.Entry
	facts []fact // one for each entry
	notes []plist.Note
	met   map[capture.Inode]int // names of files that had several, that the walk came by
}

// A fact is what an entry's making needs to know beyond it.
type fact struct {
	before, after *file // nil if there is nothing; before also, if it is of another type
	compare       bool  // of the same size as before: compare the bytes
}

// A file is what is or was at a path.
type file struct {
	plist.Entry
	capture.Inode
	copied bool // after: it is what was there, copied up
}

func (f *file) is(typ fs.FileMode) bool { return f != nil && f.Mode.Type() == typ }

func (h *harvester) harvest(ctx context.Context) error {
	h.met = make(map[capture.Inode]int)
	return h.visit(ctx, "/", true, true)
}

// visit lists one path of the view and what is below it. Was and is tell whether the
// directory above was one, and is. What a stub stands for is as it was.
func (h *harvester) visit(ctx context.Context, name string, was, is bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	before, after, err := h.look(name, was, is)
	if err != nil {
		return fmt.Errorf("harvest %q: %w", name, err)
	}
	if after == stub {
		return nil
	}
	if before != nil && before.Nlink > 1 && !before.Mode.IsDir() {
		h.met[before.Inode]++
	}
	h.record(name, before, after)
	if !before.is(fs.ModeDir) && !after.is(fs.ModeDir) {
		return nil
	}
	was, is = before.is(fs.ModeDir), after.is(fs.ModeDir)
	var names []string
	if is {
		if names, err = readNames(h.staged(name)); err != nil {
			return fmt.Errorf("harvest %q: %w", name, err)
		}
	}
	if was {
		names = append(names, h.held[name]...)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if err := h.visit(ctx, join(name, n), was, is); err != nil {
			return err
		}
	}
	return nil
}

// stub is in a staging tree what was not touched.
var stub = &file{}

// look reads what was and what is at a path.
func (h *harvester) look(name string, was, is bool) (before, after *file, err error) {
	if is {
		var st unix.Stat_t
		err := unix.Lstat(h.staged(name), &st)
		f := h.faces[keyOf(&st)]
		if err == nil && f != nil && f.stub {
			return nil, stub, nil
		}
		if after, err = read(h.staged(name)); err != nil {
			return nil, nil, err
		}
		if after != nil {
			h.believe(after, f)
		}
	}
	if was {
		if before, err = read(name); err != nil {
			return nil, nil, err
		}
	}
	if before != nil {
		from := key{before.Dev, before.Ino}
		h.believe(before, nil)
		if after != nil {
			f := h.faces[key{after.Dev, after.Ino}]
			after.copied = f != nil && f.from == from
		}
	}
	return before, after, nil
}

func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// read reads all of a host path; nil if there is nothing.
func read(host string) (*file, error) {
	e, inode, err := lstat(host)
	if isGone(err) {
		return nil, nil
	}
	return &file{Entry: e, Inode: inode}, err
}

// believe makes of a file what the command was told of it.
func (h *harvester) believe(file *file, f *face) {
	if f == nil {
		if file.UID == h.uid {
			file.UID = 0
		}
		if file.GID == h.gid {
			file.GID = 0
		}
		return
	}
	file.UID, file.GID, file.Mode = f.uid, f.gid, plist.ModeFromUnix(f.mode)
	if file.Mode&fs.ModeDevice != 0 {
		file.Major, file.Minor, file.Size = unix.Major(f.rdev), unix.Minor(f.rdev), 0
	}
	file.Flags |= f.flags
	if len(f.xattr) > 0 && file.Xattrs == nil {
		file.Xattrs = make(map[string]string)
	}
	maps.Copy(file.Xattrs, f.xattr)
}

func readNames(host string) ([]string, error) {
	dir, err := os.Open(host)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}

// record adds the entry of a path, if it has one.
func (h *harvester) record(name string, before, after *file) {
	if after.is(fs.ModeSocket) {
		h.notes = append(h.notes, plist.Note{
			Kind: plist.NoteLost,
			Text: fmt.Sprintf("socket %q was made or changed, and neither list nor tarball can hold it", name),
		})
		if after = nil; before.is(fs.ModeSocket) {
			before = nil
		}
	}
	f := fact{after: after}
	e := plist.Entry{}
	switch {
	case after == nil && before == nil:
		return
	case after == nil:
		e = plist.Entry{Op: plist.OpDelete, Mode: before.Mode.Type()}
	case before == nil:
		e = after.Entry
		e.Op = plist.OpAdd
	case before.Mode.Type() != after.Mode.Type():
		e = after.Entry
		e.Op, e.Changed = plist.OpModify, plist.ChangedType
	default:
		e = after.Entry
		e.Op, e.Changed = plist.OpModify, capture.Difference(&before.Entry, &after.Entry)
		f.before, f.compare = before, after.Mode.IsRegular() && after.Size == before.Size
		if e.Mode.IsDir() && e.Changed == 0 {
			return
		}
	}
	e.Path = entryPath(name)
	h.list = append(h.list, e)
	h.facts = append(h.facts, f)
}

func entryPath(name string) string {
	if name == "/" {
		return "."
	}
	return name[1:]
}

// contents reads the content of all listed files.
func (h *harvester) contents(ctx context.Context, progress func(int)) error {
	var mu sync.Mutex
	done := 0
	return capture.Parallel(ctx, len(h.list), func(from, to int) error {
		for i := from; i < to; i++ {
			if err := h.content(i); err != nil {
				return fmt.Errorf("harvest %q: %w", h.list[i].Path, err)
			}
		}
		if progress != nil {
			mu.Lock()
			defer mu.Unlock()
			done += to - from
			progress(done)
		}
		return nil
	})
}

func (h *harvester) content(i int) (err error) {
	e := &h.list[i]
	if e.Op == plist.OpDelete || !e.Mode.IsRegular() {
		return nil
	}
	name := "/" + e.Path
	if e.Digest, err = digest(h.staged(name)); err != nil || !h.facts[i].compare {
		return err
	}
	before, err := digest(name)
	if errors.Is(err, fs.ErrPermission) { // it was overwritten unread
		err = nil
	}
	if before != e.Digest {
		e.Changed |= plist.ChangedContent
	}
	return err
}

func digest(host string) (plist.Digest, error) {
	f, err := os.Open(host)
	if err != nil {
		return plist.Digest{}, err
	}
	defer f.Close()
	return capture.Digest(f)
}

// finish returns the entries that stay, and knows hard links from other files.
func (h *harvester) finish() []plist.Entry {
	names := make(map[capture.Inode][]int)
	for i := range h.list {
		if a := h.facts[i].after; a != nil && a.Nlink > 1 && !a.Mode.IsDir() && a.Mode.Type() != fs.ModeSymlink {
			names[a.Inode] = append(names[a.Inode], i)
		}
	}
	var kept []plist.Entry
	first := make(map[capture.Inode]string)
	for i := range h.list {
		e, f := &h.list[i], h.facts[i]
		if e.Op == plist.OpModify && e.Changed == 0 && e.Mode.Type() != fs.ModeSymlink && h.changedLinks(i, names) {
			e.Changed = plist.ChangedLinks
		}
		if e.Op == plist.OpModify && e.Changed == 0 {
			if f.after.copied {
				continue
			}
			e.Class = plist.ClassIdentical
		}
		if f.after != nil && len(names[f.after.Inode]) > 0 {
			if first[f.after.Inode] == "" {
				first[f.after.Inode] = e.Path
			} else {
				e.Link = first[f.after.Inode]
			}
		}
		if f.before != nil && f.after.copied && f.before.Nlink > 1 && h.met[f.before.Inode] < int(f.before.Nlink) && e.Changed != 0 {
			h.notes = append(h.notes, plist.Note{
				Kind: plist.NoteHole,
				Text: fmt.Sprintf("%q was changed, but not through its other names, which still have what was there", "/"+e.Path),
			})
		}
		kept = append(kept, *e)
	}
	return kept
}

// changedLinks reports whether a file that is as it was has got another name, or was
// replaced and lost one that is still there.
func (h *harvester) changedLinks(i int, names map[capture.Inode][]int) bool {
	f := h.facts[i]
	for _, j := range names[f.after.Inode] {
		if o := h.facts[j]; o.before == nil || o.before.Inode != f.before.Inode {
			return true
		}
	}
	if f.after.copied || f.before.Nlink < 2 {
		return false
	}
	if h.met[f.before.Inode] < int(f.before.Nlink) {
		return true
	}
	for _, o := range h.facts {
		if o.before != nil && o.before.Inode == f.before.Inode && o.after.Inode != f.after.Inode {
			return true
		}
	}
	return false
}
