package unpack

import (
	"errors"
	"path"
	"strconv"
	"syscall"

	"github.com/sandbox-install/sandbox-install/plist"
)

// finish records a transaction whose swap is done.
func (w *work) finish() error {
	if err := w.record(); err != nil {
		return err
	}
	if err := w.keep(); err != nil {
		return err
	}
	for i := range w.After.Entries {
		if err := w.sys.pin(&w.After.Entries[i]); err != nil {
			return err
		}
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	if err := w.sys.rename(w.at(pendingName), w.at(historyName, strconv.Itoa(w.Number)), noReplace); err != nil {
		return err
	}
	return errors.Join(w.sys.fsync(w.state), w.sys.fsync(w.at(historyName)))
}

// record puts the package's record into its place. The old one stays with the
// journal.
func (w *work) record() error {
	place, old, next := w.at(packagesName, w.Name), w.at(pendingName, oldRecordDir), w.at(pendingName, recordDir)
	hasNext, err := w.sys.exists(next)
	if err != nil {
		return err
	}
	hasOld, err := w.sys.exists(old)
	if err != nil {
		return err
	}
	there, err := w.sys.exists(place)
	if err != nil {
		return err
	}
	if there && !hasOld && (hasNext || w.drops) {
		if err := w.sys.rename(place, old, noReplace); err != nil {
			return err
		}
	}
	if hasNext {
		if err := w.sys.rename(next, place, noReplace); err != nil {
			return err
		}
	}
	return nil
}

// keep moves what was displaced into the store.
func (w *work) keep() error {
	live := w.liveFiles()
	for i := range w.steps {
		s := &w.steps[i]
		if !s.displaces() {
			continue
		}
		if err := w.dropNames(s, live); err != nil {
			return err
		}
		there, err := w.sys.exists(s.temporary(w.Number))
		if err != nil {
			return err
		}
		if there {
			if err := w.separate(s); err != nil {
				return err
			}
			if err := w.moveAway(s.temporary(w.Number), w.keptAt(w.Number, s)); err != nil {
				return err
			}
		}
	}
	return nil
}

// liveFiles returns the files that stay, by their first names before.
func (w *work) liveFiles() map[string]bool {
	names, files := liveNames(w.Before, w.After), make(map[string]bool)
	for i := range w.Before.Entries {
		if b := &w.Before.Entries[i]; names[b.Path] {
			files[bodyOf(b)] = true
		}
	}
	return files
}

// dropNames removes what a step displaced of files that stay under another name:
// they are to have no name in the store, which link counts would show.
func (w *work) dropNames(s *step, live map[string]bool) error {
	for _, b := range below(w.Before, s.path) {
		if linkable(&b) && live[bodyOf(&b)] {
			if err := w.sys.unlink(s.temporary(w.Number) + b.Path[len(s.path):]); err != nil && !isMissing(err) {
				return err
			}
		}
	}
	return nil
}

// moveAway moves something into the store.
func (w *work) moveAway(from, to string) error {
	if err := w.makeDir(path.Dir(to), 0o700); err != nil {
		return err
	}
	err := w.sys.rename(from, to, noReplace)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	return w.moveAcross(from, to)
}

// moveAcross moves to another file system: copies, and removes when the copy is on
// the disk. If the copy has its name, a crash came between.
func (w *work) moveAcross(from, to string) error {
	there, err := w.sys.exists(to)
	if err != nil {
		return err
	}
	if !there {
		if err := w.copyAcross(from, to); err != nil {
			return err
		}
	}
	return w.sys.removeAll(from)
}

func (w *work) copyAcross(from, to string) error {
	l, err := w.sys.snapshot(from, from, andHash)
	if err != nil {
		return err
	}
	unfinished := to + ".new"
	if err := w.sys.removeAll(unfinished); err != nil {
		return err
	}
	g := &stager{sys: w.sys, open: func(e *plist.Entry) (plist.File, error) { return w.sys.openFile(e.Path) }, bodies: make(map[string]string)}
	if err := g.stage(l.Entries, unfinished); err != nil {
		return err
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	if err := w.sys.rename(unfinished, to, noReplace); err != nil {
		return err
	}
	return w.sys.fsync(path.Dir(to))
}
