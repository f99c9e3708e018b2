package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A walker meets all names of a scope in the order of plist.ComparePaths, and
// hands them out in chunks to be looked at more closely.
type walker struct {
	*Scanner
	chunk *chunk
	above []Stamp // of the directories that the walk is in
	buf   []byte  // for directory entries
}

// A chunk is a run of names that one worker looks at. Its records are in order;
// a name without one has vanished or is not wanted.
type chunk struct {
	items   []item
	dirs    int // how many directories the items are of
	records []*Record
	done    chan struct{}
}

// An item is a name to be looked at.
type item struct {
	dir     *dir
	name    string
	path    string  // entry path
	trouble string  // why a directory's names could not be read
	earlier *Record // of the same path, or nil
}

// A chunk is small, so that workers do not wait for each other, and its
// directories are few, since each is a descriptor: OpenBSD allows 512.
const (
	chunkItems = 64
	chunkDirs  = 16
)

// run walks all paths of the scope. It closes the channels when it ends.
func (w *walker) run(ctx context.Context) error {
	defer close(w.ordered)
	defer close(w.work)
	w.chunk = newChunk()
	for _, p := range w.scope.Paths {
		if err := w.start(ctx, p); err != nil {
			w.chunk.abandon()
			return err
		}
	}
	return w.flush(ctx)
}

// start walks one path of the scope, if it is there.
func (w *walker) start(ctx context.Context, p string) error {
	parent, base := w.scope.hostPath(path.Dir(p)), path.Base(p)
	if p == "." {
		parent = w.scope.Root
	}
	d, err := openDir(parent)
	if isGone(err) && p != "." {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.release()
	stamp, mode, err := d.stat(base)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.scope.hostPath(p), err)
	}
	if !mode.IsDir() {
		return w.queue(ctx, item{dir: d, name: base, path: p})
	}
	w.above = append(w.above[:0], stamp)
	return w.dir(ctx, item{dir: d, name: base, path: p})
}

// dir queues a directory and all that is in it. The last of above is its stamp.
func (w *walker) dir(ctx context.Context, it item) error {
	d, err := it.dir.open(it.name)
	if err != nil {
		return w.noEntry(ctx, it, err)
	}
	defer d.release()
	if pseudo, err := w.isPseudo(d); err != nil {
		return w.noEntry(ctx, it, err)
	} else if pseudo {
		w.tally.Pseudo++
		return nil
	}
	names, err := d.list(w.buf)
	if err != nil {
		return w.noEntry(ctx, it, err)
	}
	if err := w.queue(ctx, it); err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b name) int { return strings.Compare(a.string, b.string) })
	for _, n := range names {
		below := item{dir: d, name: n.string, path: join(it.path, n.string)}
		if err := w.visit(ctx, below, n.kind); err != nil {
			return err
		}
	}
	return nil
}

// isPseudo looks at the file system of a directory where it may be another than
// the one above.
func (w *walker) isPseudo(d *dir) (bool, error) {
	if n := len(w.above); n > 1 && w.above[n-1].Dev == w.above[n-2].Dev {
		return false, nil
	}
	return d.isPseudo()
}

// noEntry queues a directory that can not be read, unless it is gone.
func (w *walker) noEntry(ctx context.Context, it item, err error) error {
	if isGone(err) {
		w.tally.Vanished++
		return nil
	}
	it.trouble = err.Error()
	return w.queue(ctx, it)
}

// visit queues a name, and what is below it.
func (w *walker) visit(ctx context.Context, it item, k kind) error {
	if k == kindFile {
		return w.queue(ctx, it)
	}
	stamp, mode, err := it.dir.stat(it.name)
	switch {
	case err != nil:
		return w.noEntry(ctx, it, err)
	case !mode.IsDir():
		return w.queue(ctx, it)
	case w.scope.skips(stamp):
		return nil
	case w.isLoop(stamp):
		w.tally.Loops++
		return nil
	}
	w.above = append(w.above, stamp)
	err = w.dir(ctx, it)
	w.above = w.above[:len(w.above)-1]
	return err
}

// isLoop reports whether a directory is one of those it is in: a mount of a tree
// inside itself.
func (w *walker) isLoop(s Stamp) bool {
	return s.Ino != 0 && slices.ContainsFunc(w.above, func(above Stamp) bool { return above.SameFile(s.Inode) })
}

// queue adds a name to the chunk.
func (w *walker) queue(ctx context.Context, it item) error {
	var err error
	if it.earlier, err = w.earlier.at(it.path); err != nil {
		return err
	}
	it.dir.held.Add(1)
	c := w.chunk
	if n := len(c.items); n == 0 || c.items[n-1].dir != it.dir {
		c.dirs++
	}
	c.items = append(c.items, it)
	if len(c.items) < chunkItems && c.dirs < chunkDirs {
		return nil
	}
	return w.flush(ctx)
}

// flush hands out the chunk.
func (w *walker) flush(ctx context.Context) error {
	c := w.chunk
	w.chunk = newChunk()
	select {
	case w.ordered <- c:
	case <-ctx.Done():
		c.abandon()
		return ctx.Err()
	}
	select {
	case w.work <- c:
		return nil
	case <-ctx.Done():
		c.abandon()
		return ctx.Err()
	}
}

func newChunk() *chunk {
	return &chunk{items: make([]item, 0, chunkItems), done: make(chan struct{})}
}

// abandon lets go of what a chunk holds that no worker will see.
func (c *chunk) abandon() {
	for i := range c.items {
		c.items[i].dir.release()
	}
	close(c.done)
}

// earlierSnapshot is a Source that is asked for paths in order.
type earlierSnapshot struct {
	source Source // nil if there is no earlier snapshot
	next   *Record
}

// at returns the record of a path, or nil. The paths of all calls ascend.
func (s *earlierSnapshot) at(path string) (*Record, error) {
	for s.source != nil {
		if s.next != nil {
			if c := plist.ComparePaths(s.next.Path, path); c > 0 {
				return nil, nil
			} else if c == 0 {
				return s.next, nil
			}
		}
		r, err := s.source.Next()
		if errors.Is(err, io.EOF) {
			s.source = nil
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("earlier snapshot: %w", err)
		}
		s.next = r
	}
	return nil, nil
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
