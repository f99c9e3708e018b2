package trace

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A harvester makes the list: it walks the places of the past and compares each
// with what is there now.
//
// Where one directory took the place of another, both are walked whole. Of what was
// there, that is the directory wherever it is now, with the past's places in it.
type harvester struct {
	*undoer
	below map[string][]string // places by the directory they were in, and the directories above them
	list  []plist.Entry
	facts []fact // one for each entry
	links links
	notes []plist.Note
	seen  map[string]bool // paths that the walk came by

	began   time.Time // when the command was started
	foreign []string  // paths that changed since, and that it was not seen to touch
}

// A fact is what an entry's making needs to know beyond it.
type fact struct {
	before, after *file
	unwritten     bool // the same inode: an entry only if something differs
	compare       bool // was there before in the same size: compare the bytes
}

// A file is what is or was in a place.
type file struct {
	plist.Entry
	key
	nlink uint32
	in    *inode // the record, of what was there before the run
	mount bool   // something is mounted there: it may have names that are not counted
	at    string // path relative to the root where it can be read now; "" if it is gone
}

func (f *file) is(typ fs.FileMode) bool { return f != nil && f.Mode.Type() == typ }

func newHarvester(u *undoer, began time.Time) *harvester {
	h := &harvester{undoer: u, began: began, below: make(map[string][]string), seen: make(map[string]bool)}
	known := make(map[string]bool)
	for _, place := range u.order {
		for p := place; p != "." && !known[p]; p = path.Dir(p) {
			known[p] = true
			h.below[path.Dir(p)] = append(h.below[path.Dir(p)], path.Base(p))
		}
	}
	return h
}

// harvest returns the list. Digests and what compares contents are still to be found.
func (h *harvester) harvest(ctx context.Context) error {
	if _, touched := h.places["."]; touched {
		if err := h.visit(ctx, ".", ".", true, false); err != nil {
			return err
		}
	} else if err := h.dir(ctx, ".", ".", true, false); err != nil {
		return err
	}
	return h.siblings(ctx)
}

// dir visits names of a directory, sorted: those that were touched, or all that are
// or were there. Was is where the old directory is now, "" if there was none.
func (h *harvester) dir(ctx context.Context, place, was string, is, whole bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names := slices.Clone(h.below[place])
	if whole {
		for _, at := range []struct {
			there bool
			path  string
		}{{was != "", was}, {is, place}} {
			if !at.there {
				continue
			}
			more, err := h.read(at.path)
			if err != nil {
				return fmt.Errorf("harvest %q: %w", "/"+place, err)
			}
			names = append(names, more...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if err := h.visit(ctx, join(place, name), was, is, whole); err != nil {
			return err
		}
	}
	touched := slices.ContainsFunc(names, func(name string) bool { _, ok := h.places[join(place, name)]; return ok })
	if !touched || whole || !is {
		return nil
	}
	return h.verify(place, names)
}

func (h *harvester) read(at string) ([]string, error) {
	f, err := openAt(h.root, at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// visit lists one path and all below it. Was is where its old parent is now; is says
// that the place's own parent is a directory.
func (h *harvester) visit(ctx context.Context, place, was string, is, whole bool) error {
	before, err := h.was(place, was)
	if err != nil {
		return fmt.Errorf("harvest %q: %w", "/"+place, err)
	}
	var after *file
	if is {
		if after, err = h.at(place); err != nil {
			return fmt.Errorf("harvest %q: %w", "/"+place, err)
		}
	}
	if h.ours(before) || h.ours(after) {
		return nil
	}
	h.seen[place] = true
	if _, touched := h.places[place]; touched || whole {
		h.record(place, before, after)
	}
	if !before.is(fs.ModeDir) && !after.is(fs.ModeDir) {
		return nil
	}
	old := ""
	if before.is(fs.ModeDir) {
		old = before.at
	}
	same := before.is(fs.ModeDir) && after.is(fs.ModeDir) && before.key == after.key
	return h.dir(ctx, place, old, after.is(fs.ModeDir), !same)
}

func (h *harvester) ours(f *file) bool {
	return f.is(fs.ModeDir) && f.at != "" && h.journal.owns(host(f.at))
}

// was tells what was in a place; nil if there was nothing.
func (h *harvester) was(place, parent string) (*file, error) {
	in, touched := h.places[place]
	if !touched {
		if parent == "" {
			return nil, nil
		}
		if place == "." {
			return h.at(".")
		}
		return h.at(join(parent, path.Base(place)))
	}
	if in == nil {
		return nil, nil
	}
	f := &file{Entry: in.before, key: in.key, nlink: in.nlink, in: in}
	f.Path = place
	if !f.Mode.IsDir() {
		return f, nil
	}
	if at, ok := h.where[in]; ok {
		f.at = at[1:]
	} else if k, _, err := keyOf(h.root, place); err == nil && k == in.key {
		f.at = place
	}
	return f, nil
}

// at reads a file; nil if there is none.
func (h *harvester) at(name string) (*file, error) {
	s, done, err := reach(h.root, name)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer done()
	k, st, err := keyOf(s.dir, s.name)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &file{key: k, nlink: st.Nlink, in: h.inodes[k], at: name, mount: st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0}
	if f.in != nil && f.in.link {
		f.nlink-- // our own
	}
	f.Entry, err = lstat(s)
	return f, err
}

// record adds the entry of a path, if it has one.
func (h *harvester) record(place string, before, after *file) {
	if after.is(fs.ModeSocket) {
		h.notes = append(h.notes, plist.Note{
			Kind: plist.NoteLost,
			Text: fmt.Sprintf("socket %q was made or changed, and neither list nor tarball can hold it", "/"+place),
		})
		if after = nil; before.is(fs.ModeSocket) {
			before = nil
		}
	}
	if before != nil && !before.Mode.IsDir() {
		h.links.met(before, after != nil && after.mount)
	}
	switch {
	case before == nil && after == nil:
	case after == nil:
		h.add(plist.Entry{Op: plist.OpDelete, Path: place, Mode: before.Mode.Type()}, fact{})
	case before == nil:
		h.addFile(place, plist.Entry{Op: plist.OpAdd}, fact{after: after})
	case before.Mode.Type() != after.Mode.Type():
		h.addFile(place, plist.Entry{Op: plist.OpModify, Changed: plist.ChangedType}, fact{after: after})
	default:
		h.modified(place, before, after)
	}
}

// modified lists what is there before and after, as the same type.
func (h *harvester) modified(place string, before, after *file) {
	changed := capture.Difference(&before.Entry, &after.Entry)
	if after.Mode.IsDir() {
		if changed != 0 {
			h.addFile(place, plist.Entry{Op: plist.OpModify, Changed: changed}, fact{before: before, after: after})
		}
		return
	}
	h.addFile(place, plist.Entry{Op: plist.OpModify, Changed: changed}, fact{
		before: before, after: after,
		unwritten: before.key == after.key,
		compare:   after.Mode.IsRegular() && after.Size == before.Size,
	})
}

func (h *harvester) addFile(place string, what plist.Entry, f fact) {
	e := f.after.Entry
	e.Op, e.Path, e.Changed = what.Op, place, what.Changed
	if !e.Mode.IsDir() && e.Mode.Type() != fs.ModeSymlink {
		h.links.add(len(h.list), f.before, f.after)
	}
	h.add(e, f)
}

func (h *harvester) add(e plist.Entry, f fact) {
	h.list = append(h.list, e)
	h.facts = append(h.facts, f)
}

// contents reads the content of all listed files: it keeps their bytes, and finds out
// whether they differ from before.
func (h *harvester) contents(ctx context.Context, k *keeper, progress func(int)) error {
	n := 0
	return capture.Parallel(ctx, len(h.list), func(from, to int) error {
		for i := from; i < to; i++ {
			if err := h.content(i, k); err != nil {
				return fmt.Errorf("harvest %q: %w", "/"+h.list[i].Path, err)
			}
		}
		if progress != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			n += to - from
			progress(n)
		}
		return nil
	})
}

func (h *harvester) content(i int, k *keeper) (err error) {
	e, f := &h.list[i], &h.facts[i]
	if e.Op == plist.OpDelete || !e.Mode.IsRegular() {
		return nil
	}
	if e.Digest, err = k.keep(e.Path, f.after); err != nil || !f.compare {
		return err
	}
	if f.before.key == f.after.key && (f.before.in == nil || !f.before.in.copy) {
		return nil // it was never open to be written
	}
	before, err := h.digestBefore(f.before)
	if before != e.Digest {
		e.Changed |= plist.ChangedContent
	}
	return err
}

// digestBefore reads what a file held before the run.
func (h *harvester) digestBefore(f *file) (plist.Digest, error) {
	switch {
	case f.in != nil && f.in.copy:
		return digestOf(unix.AT_FDCWD, h.journal.copyPath(f.in))
	case f.in != nil && f.in.link:
		link := h.journal.linkAt(f.in)
		return digestOf(link.dir, link.name)
	case f.in != nil:
		for _, name := range h.names[f.in] {
			if k, _, err := keyOf(h.root, name); err == nil && k == f.key {
				return digestOf(h.root, name)
			}
		}
	}
	return digestOf(h.root, f.at)
}

// finish returns the entries that stay.
func (h *harvester) finish() []plist.Entry {
	h.resolveLinks()
	kept := make([]plist.Entry, 0, len(h.list))
	for i := range h.list {
		if !h.stays(i) {
			continue
		}
		e := h.list[i]
		if e.Op == plist.OpModify && e.Changed == 0 {
			e.Class = plist.ClassIdentical
		}
		kept = append(kept, e)
	}
	return kept
}

// stays reports whether an entry belongs in the list.
func (h *harvester) stays(i int) bool {
	e := &h.list[i]
	return e.Op != plist.OpModify || e.Changed != 0 || !h.facts[i].unwritten
}
