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
	root  int
	dir   string // "" keeps nothing: the live tree stays as it is
	since int64  // what was born later was made by the run

	mu    sync.Mutex
	files map[string]string // entry path -> file that holds its content
	first map[key]*kept
	next  int
}

// A kept is an inode's content, found out once.
type kept struct {
	once   sync.Once
	file   string
	digest plist.Digest
	err    error
}

func newKeeper(root int, j *journal) (*keeper, error) {
	k := &keeper{root: root, files: make(map[string]string), first: make(map[key]*kept)}
	if j == nil {
		return k, nil
	}
	k.dir = filepath.Join(j.path, "after")
	born, _, err := keyOf(unix.AT_FDCWD, k.dir)
	k.since = born.born
	return k, err
}

// keep keeps the content of a path, and returns its digest.
func (k *keeper) keep(place string, f *file) (plist.Digest, error) {
	k.mu.Lock()
	c := k.first[f.key]
	if c == nil {
		c = &kept{file: host(place)}
		if k.dir != "" {
			c.file = filepath.Join(k.dir, strconv.Itoa(k.next))
		}
		k.first[f.key] = c
		k.next++
	}
	k.files[place] = c.file
	k.mu.Unlock()
	c.once.Do(func() { c.err = k.fetch(c, place, f.in == nil && f.born > k.since && k.since > 0) })
	return c.digest, c.err
}

func (k *keeper) fetch(c *kept, place string, isNew bool) (err error) {
	if k.dir != "" {
		if !isNew || unix.Linkat(k.root, place, unix.AT_FDCWD, c.file, 0) != nil {
			if err := k.copy(c.file, place); err != nil {
				return err
			}
		}
	}
	c.digest, err = digestOf(unix.AT_FDCWD, c.file)
	return err
}

func (k *keeper) copy(file, place string) error {
	fd, err := capture.OpenAt(k.root, place)
	if err != nil {
		return err
	}
	from := os.NewFile(uintptr(fd), place)
	defer from.Close()
	to, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(capture.CopyContent(to, from), to.Close())
}

// Open opens the content of an entry path: a keeper is the result's plist.Tree.
func (k *keeper) Open(place string) (plist.File, error) {
	name, ok := k.files[place]
	if !ok {
		return nil, &os.PathError{Op: "open", Path: place, Err: os.ErrNotExist}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}
