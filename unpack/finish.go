package unpack

import (
	"errors"
	"maps"
	"path"
	"slices"
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

// record puts the records into their places. The old ones stay with the journal.
func (w *work) record() error {
	for _, name := range slices.Sorted(maps.Keys(w.recorded)) {
		if err := w.recordOne(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) recordOne(name string) error {
	place, old, next := w.at(packagesName, name), w.at(pendingName, oldRecordsDir, name), w.at(pendingName, recordsDir, name)
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
	if there && !hasOld && (hasNext || w.recorded[name] == 0) {
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
	for i := range w.steps {
		s := &w.steps[i]
		if !s.displaces() {
			continue
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
