package unpack

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// When a swap begins.
type occasion bool

const (
	justPlanned occasion = false // nothing is swapped yet, and the plan was made by this process
	afterCrash  occasion = true
)

// rank orders the steps of a swap: what others need comes first and what they
// needed goes last. A symlink comes after what it points to.
func rank(s *step) int {
	switch {
	case s.action == remove:
		return 2
	case s.action == attributes:
		return 3
	case s.after.Mode.Type() == fs.ModeSymlink:
		return 1
	}
	return 0
}

// swap brings every new object to its place, and has that on the disk.
func (w *work) swap(o occasion) error {
	for i := range w.ordered {
		if err := w.forward(&w.ordered[i], o); err != nil {
			return err
		}
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	return w.setMark(swapped)
}

// forward makes a step, unless it is made.
func (w *work) forward(s *step, o occasion) error {
	if s.action == attributes {
		return w.adjust(s, s.after, o)
	}
	if o == afterCrash {
		if done, err := w.isDone(s); done || err != nil {
			return err
		}
	}
	temporary := s.temporary(w.Number)
	switch s.action {
	case place:
		return w.sys.rename(temporary, s.path, noReplace)
	case exchange:
		if err := w.exchange(s); err != nil {
			return err
		}
	case remove:
		if err := w.takeOut(s); err != nil {
			return err
		}
	}
	return w.checkDisplaced(s, o)
}

// adjust gives the file at a step's place other attributes, if it is still that
// file. Who made another of it meanwhile, or chose its mode or owner, is right.
func (w *work) adjust(s *step, to *plist.Entry, o occasion) error {
	now, inode, err := w.sys.lstat(s.path, noHash)
	if o == afterCrash && (errors.Is(err, fs.ErrNotExist) || err == nil && !s.isBetween(&now)) {
		return nil
	}
	if err != nil {
		return err
	}
	is := func(e *plist.Entry) bool {
		return firstDifference([]plist.Entry{*e}, []plist.Entry{now}, noHash) == ""
	}
	if o == justPlanned && !is(s.before) && !is(to) { // who gave it them already has done what we would
		return changedMeanwhile(s.path)
	}
	if linkable(&now) && inode.Nlink > 1 { // the others are none of ours: see liveNames
		if err := w.copyInPlace(s.path, s.temporary(w.Number)); err != nil {
			return err
		}
	}
	return w.sys.setAttributes(s.path, to)
}

// isBetween reports whether a file may be one whose attributes are being set: by a
// step that was made, or not, or in part.
func (s *step) isBetween(now *plist.Entry) bool {
	b, a := s.before, s.after
	return now.Mode.Type() == a.Mode.Type() &&
		(now.Mode.Perm() == b.Mode.Perm() || now.Mode.Perm() == a.Mode.Perm()) &&
		(now.UID == b.UID || now.UID == a.UID) && (now.GID == b.GID || now.GID == a.GID)
}

func changedMeanwhile(path string) error {
	return fmt.Errorf("/%s: was changed while the transaction was under way", path)
}

// checkDisplaced reports if what came out of a swap is not what the plan expected:
// somebody has changed it since.
func (w *work) checkDisplaced(s *step, o occasion) error {
	found, err := w.sys.snapshot(s.temporary(w.Number), s.path, o == afterCrash)
	if err != nil {
		return err
	}
	if diff := firstDifference(below(w.Before, s.path), found.Entries, hashing(o)); diff != "" {
		return changedMeanwhile(diff)
	}
	return nil
}

// isDone reports whether a step that swaps is made.
func (w *work) isDone(s *step) (bool, error) {
	if err := w.settle(s); err != nil {
		return false, err
	}
	temporary := s.temporary(w.Number)
	there, err := w.sys.exists(temporary)
	if err != nil {
		return false, err
	}
	switch s.action {
	case place:
		return !there, nil
	case remove:
		return there, nil
	}
	if !there {
		return false, fmt.Errorf("%s: has gone", temporary)
	}
	isNew, err := w.isNew(s, temporary)
	return !isNew, err
}

// isNew reports whether what is at a name is the step's new object and not the old
// one. The content tells, or if it is the same in both, or in neither any more, the
// inode; in a root that was copied since, which has other inodes, the attributes.
func (w *work) isNew(s *step, name string) (bool, error) {
	here, hereInode, err := w.sys.lstat(name, andHash)
	if err != nil {
		return false, err
	}
	if s.before != nil && contentDiffers(s.before, s.after) {
		switch {
		case !contentDiffers(s.after, &here):
			return true, nil
		case !contentDiffers(s.before, &here):
			return false, nil
		}
	}
	_, placeInode, err := w.sys.lstat(s.path, noHash)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	want := w.staged[s.number]
	if (hereInode.Ino == want) != (placeInode.Ino == want) {
		return hereInode.Ino == want, nil
	}
	return s.looksNew(here), nil
}

// looksNew reports whether what was found is by its content the step's new object.
// Other attributes are asked only if the content is that of the old one too: not
// every copy has them.
func (s *step) looksNew(found plist.Entry) bool {
	if s.before == nil || contentDiffers(s.before, s.after) {
		return !contentDiffers(s.after, &found)
	}
	found.Path = s.path // it may have the temporary name
	return firstDifference([]plist.Entry{*s.after}, []plist.Entry{found}, andHash) == ""
}

// firstDifference returns the path of the first thing that is not as it should be,
// or "". Directories' times are not compared, nor which names are one file.
func firstDifference(want, found []plist.Entry, hash hashing) string {
	for b, a := range pairs(&plist.List{Entries: want}, &plist.List{Entries: found}) {
		switch {
		case b == nil:
			return a.Path
		case a == nil:
			return b.Path
		}
		w := *b
		w.Flags &^= pinned
		f := *a
		f.Flags &^= pinned
		if hash == noHash {
			w.Digest = f.Digest
		}
		if capture.Difference(&w, &f) != 0 {
			return b.Path
		}
	}
	return ""
}
