package overlay

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sandbox-install/sandbox-install/plist"
)

// harvest reads what a run did out of the layers of its sandbox: the list, and
// the tree that its content is to be read from, which the caller closes before
// the layers. Progress, if not nil, is told now and then how many entries are
// done.
func harvest(ctx context.Context, layers []layer, progress func(done int)) (*plist.List, *tree, error) {
	layers = slices.SortedFunc(slices.Values(layers), func(a, b layer) int { return plist.ComparePaths(a.path, b.path) })
	mounts := make(map[string]bool)
	for _, l := range layers {
		mounts[l.path] = true
	}
	list := &plist.List{}
	count := counter{progress: progress}
	kept := newKeep()
	points, moved := mountPoints(layers), make(map[string]string)
	for i := range layers {
		l := &layers[i]
		walks := []func(*walker, context.Context) error{(*walker).walk}
		if _, ok := moved[l.path]; ok {
			walks = []func(*walker, context.Context) error{(*walker).gone, (*walker).come}
		}
		for _, walk := range walks {
			w := &walker{layer: l, mounts: mounts, points: points[l.path], moved: moved, kept: kept}
			entries, err := w.harvest(ctx, walk, count.add)
			if err != nil && l.path != "." && l.died() {
				list.Notes = append(list.Notes, plist.Note{Kind: plist.NoteLost, Text: fmt.Sprintf("the file system on /%s went away while the command ran: what was done to it is not known (%v)", l.path, err)})
				break
			}
			if err != nil {
				return nil, nil, err
			}
			list.Entries = merge(list.Entries, entries)
			list.Notes = append(list.Notes, w.notes...)
		}
	}
	if err := list.Validate(); err != nil {
		return nil, nil, fmt.Errorf("harvest: %w", err)
	}
	slices.SortFunc(layers, func(a, b layer) int { return plist.ComparePaths(a.path, b.path) })
	return list, newTree(layers, kept), nil
}

// A counter adds up what several workers have done.
type counter struct {
	mu       sync.Mutex
	done     int
	progress func(done int)
}

func (c *counter) add(n int) {
	if c.progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	c.progress(c.done)
}

// harvest returns the sorted entries of one layer: where upper has something, the
// names that changed with it elsewhere, then the content of both.
func (w *walker) harvest(ctx context.Context, walk func(*walker, context.Context) error, done func(n int)) ([]plist.Entry, error) {
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("harvest %q: %w", w.layer.path, err)
	}
	defer w.close()
	if err := walk(w, ctx); err != nil {
		return nil, err
	}
	walked := len(w.list)
	if err := w.siblings(ctx); err != nil {
		return nil, err
	}
	if err := w.settle(ctx, done); err != nil {
		return nil, err
	}
	for i, m := range w.marks {
		if m&closed != 0 {
			w.noteClosed(w.list[i].Path)
		}
	}
	w.resolveLinks()
	w.parted()
	siblings := w.keep(walked, len(w.list))
	return merge(w.keep(0, walked), slices.Clone(siblings)), nil
}

func (w *walker) open() (err error) {
	w.upper.fd, w.lower.fd, w.merged.fd = -1, -1, -1
	if w.layer.upper != nil {
		if err = w.reserve(); err == nil {
			w.upper, err = newCursor(w.layer.upper)
		}
	}
	if err == nil {
		w.lower, err = newCursor(w.layer.lower)
	}
	if err == nil {
		w.merged, err = newCursor(w.layer.merged)
	}
	if err != nil {
		w.close()
	}
	return err
}

// reserve makes room for as many entries as there are names in upper: most lists
// are about that long, and a long one would take twice the memory while it grows.
func (w *walker) reserve() error {
	c, err := newCursor(w.layer.upper)
	if err != nil {
		return err
	}
	defer c.close()
	n, err := c.count()
	w.list, w.marks = make([]plist.Entry, 0, n), make([]mark, 0, n)
	return err
}

func (w *walker) close() {
	w.upper.close()
	w.lower.close()
	w.merged.close()
}

// keep packs the entries of [from, to) that stay to the front of it.
func (w *walker) keep(from, to int) []plist.Entry {
	kept := w.list[from:from]
	for i := from; i < to; i++ {
		if !w.stays(i) {
			continue
		}
		e := w.list[i]
		if e.Op == plist.OpModify && e.Changed == 0 {
			e.Class = plist.ClassIdentical
		}
		kept = append(kept, e)
	}
	return kept
}

// merge merges two sorted lists into one, which may take the place of a.
func merge(a, b []plist.Entry) []plist.Entry {
	if len(a) == 0 {
		return b
	}
	i, j := len(a)-1, len(b)-1
	a = slices.Grow(a, len(b))[:len(a)+len(b)]
	for k := len(a) - 1; j >= 0; k-- {
		if i >= 0 && plist.ComparePaths(a[i].Path, b[j].Path) > 0 {
			a[k], i = a[i], i-1
		} else {
			a[k], j = b[j], j-1
		}
	}
	return a
}
