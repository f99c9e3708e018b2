package unpack

import "errors"

// recover ends what a crash interrupted.
//
// Preconditions: the root is locked.
func (r *Root) recover() (*Recovery, error) {
	if err := errors.Join(r.sys.removeAll(r.at(unfinishedName)), r.sys.removeAll(r.at(droppedName))); err != nil {
		return nil, err
	}
	there, err := r.sys.exists(r.at(pendingName))
	if err != nil || !there {
		return nil, err
	}
	t, err := r.readJournal(r.at(pendingName))
	if err != nil {
		return nil, err
	}
	w, err := r.newWork(t)
	if err != nil {
		return nil, err
	}
	done, err := w.resume()
	return &Recovery{Transaction: *t, Done: done, Kept: w.kept}, errors.Join(err, w.barrier.close())
}

// resume goes on from the last mark. It reports whether the transaction is done;
// if not, it is taken back.
func (w *work) resume() (done bool, err error) {
	has := make(map[mark]bool)
	for _, m := range []mark{committed, swapped, aborted} {
		if has[m], err = w.hasMark(m); err != nil {
			return false, err
		}
	}
	if has[committed] {
		if err := w.readStaged(); err != nil {
			return false, err
		}
	}
	switch {
	case has[swapped]:
		return true, w.finish()
	case !has[committed] || has[aborted]:
		return false, w.takeBack()
	}
	if err = w.swap(afterCrash); err == nil {
		return true, w.finish()
	}
	return false, w.giveUp(err)
}

// Recover ends what a crash interrupted, if anything: what was committed is
// finished, everything else is taken back. Every other change of a root does that
// first. It returns nil if there was nothing to do.
func (r *Root) Recover() (*Recovery, error) {
	there, err := r.Pending()
	if err != nil || !there {
		return nil, err
	}
	lock, err := r.lock()
	if err != nil {
		return nil, err
	}
	recovery, err := r.recover()
	return recovery, errors.Join(err, lock.Close())
}

// Pending reports whether a crash has left anything to recover.
func (r *Root) Pending() (bool, error) {
	for _, name := range []string{pendingName, unfinishedName, droppedName} {
		if there, err := r.sys.exists(r.at(name)); there || err != nil {
			return there, err
		}
	}
	return false, nil
}
