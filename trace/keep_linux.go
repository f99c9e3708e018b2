package trace

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A keeper keeps the bytes that the run wrote, so that the tree can be rolled back:
// new files by a link, which costs nothing, those that stay by a copy.
type keeper struct {
	root  int    // its own
	dir   string // "" keeps nothing: the live tree stays as it is
	since int64  // what was born later was made by the run

	mu    sync.Mutex
	files map[string]string // entry path -> file that holds its content, "" for itself
	first map[key]*kept
	next  int
}

// A kept is an inode's content, found out once.
type kept struct {
	once   sync.Once
	file   string // "" if the live file is read
	digest plist.Digest
	err    error
}

func newKeeper(root int, j *journal) (*keeper, error) {
	k := &keeper{files: make(map[string]string), first: make(map[key]*kept)}
	if j != nil {
		k.dir = filepath.Join(j.path, "after")
		born, _, err := keyOf(unix.AT_FDCWD, k.dir)
		if err != nil {
			return nil, err
		}
		k.since = born.born
	}
	var err error
	k.root, err = openPath(root, ".", 0)
	return k, err
}

func (k *keeper) close() error { return unix.Close(k.root) }

// keep keeps the content of a path, and returns its digest.
func (k *keeper) keep(place string, f *file) (plist.Digest, error) {
	k.mu.Lock()
	c := k.first[f.key]
	if c == nil {
		c = &kept{}
		if k.dir != "" {
			c.file = filepath.Join(k.dir, strconv.Itoa(k.next))
		}
		k.first[f.key] = c
		k.next++
	}
	k.files[place] = c.file
	k.mu.Unlock()
	c.once.Do(func() { c.digest, c.err = k.fetch(c.file, place, f.in == nil && f.born > k.since && k.since > 0) })
	return c.digest, c.err
}

func (k *keeper) fetch(file, place string, isNew bool) (plist.Digest, error) {
	if file == "" {
		return digestOf(k.root, place)
	}
	if !isNew || k.link(file, place) != nil {
		if err := k.copy(file, place); err != nil {
			return plist.Digest{}, err
		}
	}
	return digestOf(unix.AT_FDCWD, file)
}

func (k *keeper) link(file, place string) error {
	s, done, err := reach(k.root, place)
	if err != nil {
		return err
	}
	defer done()
	return unix.Linkat(s.dir, s.name, unix.AT_FDCWD, file, 0)
}

func (k *keeper) copy(file, place string) error {
	from, err := openAt(k.root, place)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(capture.CopyContent(to, from), to.Close())
}

// Open opens the content of an entry path: a keeper is the result's plist.Tree.
func (k *keeper) Open(place string) (plist.File, error) {
	file, ok := k.files[place]
	if !ok {
		return nil, &os.PathError{Op: "open", Path: place, Err: os.ErrNotExist}
	}
	open := func() (*os.File, error) { return os.Open(file) }
	if file == "" {
		open = func() (*os.File, error) { return openAt(k.root, place) }
	}
	f, err := open()
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}
