package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A work is a transaction being carried out, or recovered.
type work struct {
	*Root
	*Transaction
	steps   []step // in the order of paths
	ordered []step // in the order in which they are made
	barrier *barrier

	// staged holds the inodes of the new objects at the time of the commit, by the
	// number of their step: the fast way to tell them from the old ones.
	staged map[int]uint64

	// kept tells what was found that nobody planned for.
	kept []string
}

func (r *Root) newWork(t *Transaction) (*work, error) {
	w := &work{Root: r, Transaction: t, steps: steps(t.Before, t.After), staged: make(map[int]uint64)}
	names := []string{r.at(lockName)}
	for i := range w.steps {
		names = append(names, w.steps[i].path)
	}
	w.ordered = slices.Clone(w.steps)
	slices.SortStableFunc(w.ordered, func(a, b step) int { return rank(&a) - rank(&b) })
	var err error
	w.barrier, err = newBarrier(r.sys, names)
	return w, err
}

// carryOut makes a planned transaction. If it fails the root is as it was, or the
// error says that it is not yet.
//
// Preconditions: the root is locked, and nothing is pending.
func (r *Root) carryOut(p *Plan) ([]string, error) {
	if err := r.writeJournal(&p.Transaction, p.record); err != nil {
		return nil, errors.Join(err, r.sys.removeAll(r.at(unfinishedName)), ignoreMissing(r.dropPending()))
	}
	w, err := r.newWork(&p.Transaction)
	if err != nil {
		return nil, errors.Join(err, r.dropPending())
	}
	if err = w.prepare(p); err == nil {
		err = w.swap(justPlanned)
	}
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		err = w.giveUp(err)
	}
	return w.kept, errors.Join(err, w.barrier.close())
}

// prepare goes up to the commit.
func (w *work) prepare(p *Plan) error {
	if err := w.stage(p); err != nil {
		return err
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	return w.commit(w.stagedText())
}

// stage makes all new objects under temporary names.
func (w *work) stage(p *Plan) error {
	g := &stager{w.sys, p.open, make(map[string]string)}
	live := liveNames(w.Before, w.After)
	for i := range w.After.Entries {
		if e := &w.After.Entries[i]; live[e.Path] {
			g.bodies[bodyOf(e)] = e.Path
		}
	}
	if err := w.makeStore(); err != nil {
		return err
	}
	for i := range w.steps {
		s := &w.steps[i]
		if !s.swaps() || s.after == nil {
			continue
		}
		at := s.temporary(w.Number)
		if err := g.stage(below(w.After, s.path), at); err != nil {
			return err
		}
		_, inode, err := w.sys.lstat(at, noHash)
		if err != nil {
			return err
		}
		w.staged[s.number] = inode.Ino
	}
	return nil
}

// makeStore makes the directory for what will be displaced while a full disk does
// no harm yet.
func (w *work) makeStore() error {
	for i := range w.steps {
		if w.steps[i].displaces() {
			return w.makeDir(w.at(keptName, strconv.Itoa(w.Number)), 0o700)
		}
	}
	return nil
}

// stagedText is what stands in the commit mark.
func (w *work) stagedText() []byte {
	var b bytes.Buffer
	for i := range w.steps {
		if ino, ok := w.staged[w.steps[i].number]; ok {
			fmt.Fprintf(&b, "%d %d\n", w.steps[i].number, ino)
		}
	}
	return b.Bytes()
}

func (w *work) readStaged() error {
	text, err := w.readFile(w.at(pendingName, string(committed)))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		var number int
		var ino uint64
		if _, err := fmt.Sscanf(string(line), "%d %d\n", &number, &ino); err != nil {
			return fmt.Errorf("%s: %q: %w", committed, line, err)
		}
		w.staged[number] = ino
	}
	return nil
}

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
		return w.sys.rename(temporary, s.path, unix.RENAME_NOREPLACE)
	case exchange:
		if err := w.sys.rename(temporary, s.path, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
	case remove:
		if err := w.sys.rename(s.path, temporary, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
	}
	return w.checkDisplaced(s, o)
}

// adjust gives the file at a step's place other attributes, if it is still that
// file. Who made another of it meanwhile, or chose its mode or owner, is right.
func (w *work) adjust(s *step, to *plist.Entry, o occasion) error {
	now, _, err := w.sys.lstat(s.path, noHash)
	if o == afterCrash && (errors.Is(err, fs.ErrNotExist) || err == nil && !s.isBetween(&now)) {
		return nil
	}
	if err != nil {
		return err
	}
	if o == justPlanned && firstDifference([]plist.Entry{*s.before}, []plist.Entry{now}, noHash) != "" {
		return changedMeanwhile(s.path)
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
// one. A root that was copied since has other inodes, and then the content tells.
func (w *work) isNew(s *step, name string) (bool, error) {
	here, hereInode, err := w.sys.lstat(name, andHash)
	if err != nil {
		return false, err
	}
	_, placeInode, err := w.sys.lstat(s.path, noHash)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	want := w.staged[s.number]
	if (hereInode.Ino == want) != (placeInode.Ino == want) {
		return hereInode.Ino == want, nil
	}
	return firstDifference([]plist.Entry{*s.after}, []plist.Entry{here}, andHash) == "", nil
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
	if err := w.sys.rename(w.at(pendingName), w.at(historyName, strconv.Itoa(w.Number)), unix.RENAME_NOREPLACE); err != nil {
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
		if err := w.sys.rename(place, old, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
	}
	if hasNext {
		if err := w.sys.rename(next, place, unix.RENAME_NOREPLACE); err != nil {
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
			if err := w.moveAway(s); err != nil {
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

// moveAway moves what is under a step's temporary name into the store.
func (w *work) moveAway(s *step) error {
	from, to := s.temporary(w.Number), w.keptAt(w.Number, s)
	if err := w.makeDir(path.Dir(to), 0o700); err != nil {
		return err
	}
	err := w.sys.rename(from, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	return w.moveAcross(from, to)
}

// moveAcross moves to another file system: copies, and removes when the copy is on
// the disk.
func (w *work) moveAcross(from, to string) error {
	l, err := w.sys.snapshot(from, from, andHash)
	if err != nil {
		return err
	}
	unfinished := to + ".new"
	if err := w.sys.removeAll(unfinished); err != nil {
		return err
	}
	g := &stager{w.sys, func(e *plist.Entry) (plist.File, error) { return w.sys.openFile(e.Path) }, make(map[string]string)}
	if err := g.stage(l.Entries, unfinished); err != nil {
		return err
	}
	if err := w.barrier.sync(); err != nil {
		return err
	}
	if err := w.sys.rename(unfinished, to, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	if err := w.sys.fsync(path.Dir(to)); err != nil {
		return err
	}
	return w.sys.removeAll(from)
}

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
		if s := &w.steps[i]; s.swaps() {
			if err := w.sys.removeAll(s.temporary(w.Number)); err != nil {
				return err
			}
		}
	}
	err = w.sys.rmdir(w.at(keptName, strconv.Itoa(w.Number)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
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
		return w.sys.rename(s.path, temporary, unix.RENAME_NOREPLACE)
	case exchange:
		if isNew, err := w.isNew(s, temporary); isNew || err != nil {
			return err
		}
		return w.sys.rename(temporary, s.path, unix.RENAME_EXCHANGE)
	}
	err = w.sys.rename(temporary, s.path, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) { // somebody has put something there
		return w.sys.rename(temporary, s.path, unix.RENAME_EXCHANGE)
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
	return w.moveAway(s)
}

// dropPending forgets the pending transaction, of which nothing is left in the
// root.
func (r *Root) dropPending() error {
	if err := r.sys.removeAll(r.at(droppedName)); err != nil {
		return err
	}
	if err := r.sys.rename(r.at(pendingName), r.at(droppedName), unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	if err := r.sys.fsync(r.state); err != nil {
		return err
	}
	return r.sys.removeAll(r.at(droppedName))
}
