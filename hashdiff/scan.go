package hashdiff

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A Source gives records in the order of plist.ComparePaths; at the end io.EOF.
type Source interface {
	Next() (*Record, error)
}

// A Scope is what a snapshot is of.
type Scope struct {
	Root  string          // absolute host path of the root that entry paths are relative to
	Paths []string        // entry paths, sorted, none below another
	Skip  []capture.Inode // directories and files that are passed over
}

// SystemRoot is the root of the system that an absolute path is of: "/", or on
// Windows that of its volume.
func SystemRoot(name string) string {
	return filepath.VolumeName(name) + string(filepath.Separator)
}

// NewScope returns the scope of some absolute paths of a root. No paths are all
// of it.
func NewScope(root string, paths ...string) (Scope, error) {
	s := Scope{Root: root}
	if len(paths) == 0 {
		paths = []string{root}
	}
	for _, p := range paths {
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return s, err
		}
		if rel = filepath.ToSlash(rel); rel == ".." || strings.HasPrefix(rel, "../") {
			return s, &fs.PathError{Op: "snapshot", Path: p, Err: errors.New("not below " + root)}
		}
		s.Paths = append(s.Paths, rel)
	}
	slices.SortFunc(s.Paths, plist.ComparePaths)
	s.Paths = slices.CompactFunc(s.Paths, func(above, p string) bool { return plist.Within(p, above) })
	return s, nil
}

func (s *Scope) hostPath(entry string) string {
	return filepath.Join(s.Root, filepath.FromSlash(entry))
}

func (s *Scope) skips(stamp Stamp) bool {
	return slices.ContainsFunc(s.Skip, stamp.SameFile)
}

// Options say how a scan is made.
type Options struct {
	// Earlier is a snapshot of the same scope. What has the same stamp as in it is
	// not read again.
	Earlier Source

	// Stat leaves the content of files unread.
	Stat bool

	// Progress, if not nil, is called now and then with the number of records.
	Progress func(done int)
}

// A Tally counts what a scan met.
type Tally struct {
	Records  int
	Hashed   int   // files whose content was read
	Bytes    int64 // of them
	Reused   int   // records taken from an earlier snapshot
	Unread   int   // paths that could not be read, or not wholly
	Unsteady int   // files that were being written while they were read
	Vanished int   // names that were gone when they were looked at
	Pseudo   int   // file systems passed over since they show the kernel
	Loops    int   // directories passed over since they hold themselves
}

// A Scanner is the Source of a live tree: one goroutine walks, others look at
// what it meets, and Next puts all in order again.
type Scanner struct {
	scope   Scope
	earlier earlierSnapshot
	options Options
	tally   Tally // of the walker, until ordered is closed

	work    chan *chunk
	ordered chan *chunk
	cancel  context.CancelFunc
	group   *errgroup.Group

	current []*Record
	records int
	mu      sync.Mutex
	looked  Tally // of the workers
}

// Scan begins to read a live tree. The caller closes it.
func Scan(ctx context.Context, scope Scope, options Options) *Scanner {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	workers := max(8, 2*runtime.GOMAXPROCS(0)) // cold files are waited for
	s := &Scanner{
		scope: scope, options: options, cancel: cancel, group: group,
		earlier: earlierSnapshot{source: options.Earlier},
		work:    make(chan *chunk, workers),
		ordered: make(chan *chunk, 32*workers),
	}
	w := &walker{Scanner: s, buf: make([]byte, 64<<10)}
	group.Go(func() error { return w.run(ctx) })
	for range workers {
		group.Go(func() error { return s.lookAll(ctx) })
	}
	return s
}

// Next returns the next record.
func (s *Scanner) Next() (*Record, error) {
	for len(s.current) == 0 {
		c, ok := <-s.ordered
		if !ok {
			if err := s.group.Wait(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		<-c.done
		s.current = c.records
	}
	r := s.current[0]
	s.current = s.current[1:]
	s.records++
	if s.options.Progress != nil && s.records%1024 == 0 {
		s.options.Progress(s.records)
	}
	return r, nil
}

// Close ends the scan, whether or not it was read to the end.
func (s *Scanner) Close() error {
	s.cancel()
	for c := range s.ordered {
		<-c.done
	}
	_ = s.group.Wait() // who cares for the error had it from Next
	return nil
}

// lookAll is the life of a worker.
func (s *Scanner) lookAll(ctx context.Context) error {
	var err error
	for c := range s.work {
		if err = ctx.Err(); err != nil {
			c.abandon()
			continue
		}
		t := c.look(s)
		s.mu.Lock()
		s.looked.add(&t)
		s.mu.Unlock()
	}
	return err
}

// look looks at all items of a chunk.
func (c *chunk) look(s *Scanner) (t Tally) {
	c.records = make([]*Record, 0, len(c.items))
	for i := range c.items {
		it := &c.items[i]
		if r := it.look(s, &t); r != nil {
			c.records = append(c.records, r)
		}
		it.dir.release()
	}
	c.items = nil
	close(c.done)
	return t
}

func (t *Tally) add(o *Tally) {
	t.Hashed += o.Hashed
	t.Bytes += o.Bytes
	t.Reused += o.Reused
	t.Unread += o.Unread
	t.Unsteady += o.Unsteady
	t.Vanished += o.Vanished
	t.Pseudo += o.Pseudo
	t.Loops += o.Loops
}

// Tally counts what the scan met, once Next has returned io.EOF.
func (s *Scanner) Tally() Tally {
	t := s.looked
	t.add(&s.tally)
	t.Records = s.records
	return t
}
