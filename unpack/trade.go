package unpack

import (
	"errors"
	"fmt"
	"io/fs"
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
	if !errors.Is(err, errors.ErrUnsupported) {
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
			return noReplace, w.sys.rename(s.path, spare, noReplace)
		}
	}
	err := w.sys.link(s.path, spare)
	if cannotLink(err) {
		return noReplace, w.sys.rename(s.path, spare, noReplace)
	}
	return replace, err
}

const spareSuffix = "-spare"

// cannotLink reports whether a file can have no second name: that of another kind, or
// any on this file system (link(2), EPERM).
func cannotLink(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported)
}

// settle ends what a crash interrupted in an exchange: it is made, or not.
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
	there, err := w.sys.exists(temporary)
	if err != nil {
		return err
	}
	if !there {
		return w.sys.rename(spare, temporary, noReplace)
	}
	now, nowInode, err := w.sys.lstat(s.path, andHash)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.sys.rename(spare, s.path, noReplace)
	case err != nil:
		return err
	}
	old.Path = now.Path
	if oldInode.SameFile(nowInode) || firstDifference([]plist.Entry{old}, []plist.Entry{now}, andHash) == "" {
		return w.sys.unlink(spare) // the second link of it, or a copy of that
	}
	kept := w.keptAt(w.Number, s) + spareSuffix
	w.kept = append(w.kept, fmt.Sprintf("/%s: somebody made another meanwhile; what was there before is now /%s", s.path, kept))
	return w.moveAway(spare, kept)
}
