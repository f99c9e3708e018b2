package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"syscall"
)

// ErrPending says that a transaction is neither done nor taken back.
var ErrPending = errors.New("the transaction is unfinished; recover finishes it or takes it back")

// giveUp takes a transaction back after an error, unless it is past that.
func (w *work) giveUp(cause error) error {
	isCommitted, err := w.hasMark(committed)
	isSwapped, err2 := w.hasMark(swapped)
	err = errors.Join(err, err2)
	if err == nil && isCommitted && !isSwapped {
		err = w.setMark(aborted)
	}
	if err == nil && !isSwapped {
		err = w.takeBack()
	}
	if isSwapped || err != nil {
		return errors.Join(cause, err, ErrPending)
	}
	return cause
}

// takeBack undoes what was swapped, and removes all that was made.
func (w *work) takeBack() error {
	isCommitted, err := w.hasMark(committed)
	if err != nil {
		return err
	}
	if isCommitted {
		if err := w.swapBack(); err != nil {
			return err
		}
	}
	for i := range w.steps {
		if err := w.sys.removeAll(w.steps[i].temporary(w.Number)); err != nil {
			return err
		}
	}
	err = w.sys.rmdir(w.at(keptName, strconv.Itoa(w.Number)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	return w.dropPending()
}

// swapBack has everything in its old place again, and that on the disk.
func (w *work) swapBack() error {
	if done, err := w.hasMark(reverted); done || err != nil {
		return err
	}
	for _, s := range slices.Backward(w.ordered) {
		if err := w.backward(&s); err != nil {
			return err
		}
	}
	for i := range w.steps {
		if err := w.rescue(&w.steps[i]); err != nil {
			return err
		}
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	return w.setMark(reverted)
}

// backward unmakes a step, if it is made.
func (w *work) backward(s *step) error {
	if s.action == attributes {
		return w.adjust(s, s.before, afterCrash)
	}
	if err := w.settle(s); err != nil {
		return err
	}
	temporary := s.temporary(w.Number)
	there, err := w.sys.exists(temporary)
	if err != nil || there == (s.action == place) {
		return err // a rescued object has left its temporary name too
	}
	switch s.action {
	case place:
		isNew, err := w.isNew(s, s.path)
		if !isNew || err != nil {
			return ignoreMissing(err)
		}
		return w.sys.rename(s.path, temporary, noReplace)
	case exchange:
		if isNew, err := w.isNew(s, temporary); isNew || err != nil {
			return err
		}
		return w.exchange(s)
	}
	err = w.sys.rename(temporary, s.path, noReplace)
	if errors.Is(err, fs.ErrExist) { // somebody has put something there
		return w.exchange(s)
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rescue keeps what is under a step's temporary name after swapping back, if it is
// not what we made: somebody has changed it meanwhile.
func (w *work) rescue(s *step) error {
	if !s.swaps() {
		return nil
	}
	temporary := s.temporary(w.Number)
	there, err := w.sys.exists(temporary)
	if err != nil || !there {
		return err
	}
	found, err := w.sys.snapshot(temporary, s.path, andHash)
	if err != nil {
		return err
	}
	if firstDifference(below(w.After, s.path), found.Entries, andHash) == "" {
		return nil
	}
	w.kept = append(w.kept, fmt.Sprintf("/%s: was changed meanwhile; that is now /%s", s.path, w.keptAt(w.Number, s)))
	return w.moveAway(temporary, w.keptAt(w.Number, s))
}

// dropPending forgets the pending transaction, of which nothing is left in the
// root.
func (r *Root) dropPending() error {
	if err := r.sys.removeAll(r.at(droppedName)); err != nil {
		return err
	}
	if err := r.sys.rename(r.at(pendingName), r.at(droppedName), noReplace); err != nil {
		return err
	}
	if err := r.sys.fsync(r.state); err != nil {
		return err
	}
	return r.sys.removeAll(r.at(droppedName))
}
