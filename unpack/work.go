package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/capture"
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
	if err := r.writeJournal(&p.Transaction, p.recordsToBe()); err != nil {
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
	g := &stager{sys: w.sys, open: p.open, bodies: make(map[string]string)}
	live := liveNames(w.Before, w.After)
	for i := range w.After.Entries {
		if e := &w.After.Entries[i]; live[e.Path] {
			g.bodies[bodyOf(e)] = e.Path
		}
	}
	if err := w.makeStore(); err != nil {
		return err
	}
	if err := w.stagePristine(p); err != nil {
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
	for _, path := range g.apart {
		w.kept = append(w.kept, fmt.Sprintf("/%s: is a file of its own: no hard link leads to another file system", path))
	}
	return nil
}

// stagePristine puts configuration as packaged into the record to be.
func (w *work) stagePristine(p *Plan) error {
	if p.Is == nil {
		return nil
	}
	for _, d := range p.Is.fresh {
		in, err := p.pristine(d)
		if err != nil {
			return err
		}
		err = w.writeFile(w.at(pendingName, recordsDir, w.Name, pristineDir, d.String()), func(out io.Writer) error {
			got, err := capture.Digest(io.TeeReader(in, out))
			if err == nil && got != d {
				err = errFalseContent
			}
			return err
		})
		if err := errors.Join(err, in.Close()); err != nil {
			return err
		}
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
