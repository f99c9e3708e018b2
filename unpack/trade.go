package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/sandbox-install/sandbox-install/plist"
)

// exchange gives what is under a step's temporary name its place, and what is at its
// place the temporary name. Where two names can not be exchanged at once it takes three
// calls, and what is at the place gets a spare name meanwhile:
//
//	link the place to the spare name      or rename it, if it can have no other link
//	rename the temporary name to the place
//	rename the spare name to the temporary one
//
// So a file is whole at every instant, and only what changes its kind is missing for
// one. A crash in between is settled by settle.
func (w *work) exchange(s *step) error {
	temporary := s.temporary(w.Number)
	err := w.sys.rename(temporary, s.path, trade)
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EXDEV) {
		return err
	}
	spare := temporary + spareSuffix
	how, err := w.spare(s, spare)
	if err != nil {
		return err
	}
	if err := w.sys.rename(temporary, s.path, how); err != nil {
		return errors.Join(err, w.settle(s))
	}
	return w.sys.rename(spare, temporary, noReplace)
}

// spare gives what is at a step's place the spare name, too if it can have two. It
// returns how the place is taken then.
func (w *work) spare(s *step, spare string) (renaming, error) {
	for _, name := range []string{s.path, s.temporary(w.Number)} {
		e, _, err := w.sys.lstat(name, noHash)
		if err != nil {
			return 0, err
		}
		if e.Mode.IsDir() {
			return noReplace, w.moveOut(s, spare)
		}
	}
	err := w.sys.link(s.path, spare)
	if cannotLink(err) {
		return noReplace, w.sys.rename(s.path, spare, noReplace)
	}
	return replace, err
}

// takeOut gives what is at a step's place the temporary name.
func (w *work) takeOut(s *step) error {
	temporary := s.temporary(w.Number)
	err := w.sys.rename(s.path, temporary, noReplace)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if err := w.moveParts(s.path, temporary+spareSuffix); err != nil {
		return err
	}
	return w.sys.rename(temporary+spareSuffix, temporary, noReplace)
}

// moveOut gives what is at a step's place the spare name, and no other.
func (w *work) moveOut(s *step, spare string) error {
	err := w.sys.rename(s.path, spare, noReplace)
	if errors.Is(err, syscall.EXDEV) {
		err = w.moveParts(s.path, spare)
	}
	return err
}

// moveParts moves a directory that can not be renamed, as one of an overlay's lower
// layers can not: a new one gets what is in it, one after another. Done again it goes
// on where a crash interrupted it.
func (w *work) moveParts(from, to string) error {
	e, _, err := w.sys.lstat(from, noHash)
	if err != nil {
		return err
	}
	if !e.Mode.IsDir() {
		return callError("rename", from, syscall.EXDEV)
	}
	if b := w.Before.Find(from); b != nil {
		e.ModTime = b.ModTime
	}
	if err := w.sys.mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := w.sys.fsync(path.Dir(to)); err != nil { // before it has what is nowhere else
		return err
	}
	names, err := w.sys.readDir(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		part, place := path.Join(from, name), path.Join(to, name)
		err := w.sys.rename(part, place, noReplace)
		if errors.Is(err, syscall.EXDEV) {
			err = w.moveParts(part, place)
		}
		if err != nil {
			return err
		}
	}
	if err := w.sys.setAttributes(to, &e); err != nil {
		return err
	}
	for _, dir := range []string{to, from} { // before the attributes are nowhere else
		if err := w.sys.fsync(dir); err != nil {
			return err
		}
	}
	if err := w.sys.rmdir(from); err != nil {
		return err
	}
	return w.sys.fsync(path.Dir(from))
}

const spareSuffix = "-spare"

// cannotLink reports whether a file can have no second name: that of another kind, or
// any on this file system (link(2), EPERM).
func cannotLink(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported)
}

// settle ends what a crash interrupted in a step of several calls: it is made, or not.
func (w *work) settle(s *step) error {
	if !s.displaces() {
		return nil
	}
	temporary := s.temporary(w.Number)
	spare := temporary + spareSuffix
	old, oldInode, err := w.sys.lstat(spare, andHash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, nowInode, err := w.sys.lstat(s.path, andHash)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if old.Mode.IsDir() && now.Mode.IsDir() && !missing {
		err := w.moveParts(s.path, spare)
		missing = err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	there, err := w.sys.exists(temporary)
	switch {
	case err != nil:
		return err
	case !there:
		return w.sys.rename(spare, temporary, noReplace)
	case missing:
		return w.sys.rename(spare, s.path, noReplace)
	}
	old.Path = now.Path
	if oldInode.SameFile(nowInode) || firstDifference([]plist.Entry{old}, []plist.Entry{now}, andHash) == "" {
		return w.sys.unlink(spare) // the second link of it, or a copy of that
	}
	kept := w.keptAt(w.Number, s) + spareSuffix
	w.kept = append(w.kept, fmt.Sprintf("/%s: somebody made another meanwhile; what was there before is now /%s", s.path, kept))
	return w.moveAway(spare, kept)
}
