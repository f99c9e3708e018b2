package hashdiff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// openRegular opens a regular file below a root to read it.
func openRegular(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(host(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A restorer makes files as records tell of them, below a root. It follows no
// symlink out of it.
type restorer struct {
	root    *os.Root
	content func(*Record) (*os.File, error)
	names   map[inodeKey]string // a name of each file with several, once there is one
}

// host turns an entry path into one of the system.
func host(path string) string { return filepath.FromSlash(path) }

// make makes a name that is not there, without attributes, or as a further name of
// a file that is.
func (r *restorer) make(rec *Record) error {
	if first, ok := r.names[key(&rec.Stamp)]; ok && rec.Stamp.Nlink > 1 && !rec.Mode.IsDir() {
		return r.root.Link(host(first), host(rec.Path))
	}
	if rec.Stamp.Nlink > 1 && !rec.Mode.IsDir() {
		r.names[key(&rec.Stamp)] = rec.Path
	}
	switch rec.Mode.Type() {
	case 0:
		return r.fill(rec, os.O_CREATE|os.O_EXCL)
	case fs.ModeDir:
		return r.root.Mkdir(host(rec.Path), 0o700)
	case fs.ModeSymlink:
		return r.root.Symlink(rec.Link, host(rec.Path))
	case fs.ModeIrregular:
		return errors.New("unknown kind of file")
	}
	return r.mknod(rec)
}

// fill gives a regular file its content, and truncates what it had.
func (r *restorer) fill(rec *Record, flags int) error {
	from, err := r.content(rec)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // only read
	to, err := r.root.OpenFile(host(rec.Path), os.O_RDWR|os.O_TRUNC|flags, 0o600)
	if err != nil {
		return err
	}
	if cloneFile(to, from) != nil {
		err = copyFile(to, from)
	}
	if err == nil {
		err = errors.Join(verify(to, rec.Digest), syncFile(to))
	}
	return errors.Join(err, to.Close())
}

// dress gives a name its attributes. The order matters: chown(2) clears set-id
// bits and capabilities, and nothing can be set on what is immutable. What could not be
// read has attributes that are not known.
func (r *restorer) dress(rec *Record) error {
	name := host(rec.Path)
	if runtime.GOOS != "windows" {
		if err := r.root.Lchown(name, int(rec.UID), int(rec.GID)); err != nil {
			return err
		}
	}
	if rec.Mode.Type() != fs.ModeSymlink {
		if err := r.root.Chmod(name, rec.Mode&^fs.ModeType); err != nil {
			return err
		}
	}
	if rec.isUnread() {
		return r.root.Chtimes(name, time.Time{}, rec.ModTime)
	}
	return r.dressMore(rec)
}

// wrap says which path an error is about.
func wrap(rec *Record, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", "/"+rec.Path, err)
}

// copyTree makes a copy of all that a snapshot of the directory from tells.
func copyTree(from, to string, records Source) error {
	source, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // only read
	target, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer target.Close() //nolint:errcheck // nothing is buffered
	r := &restorer{
		root:    target,
		content: func(rec *Record) (*os.File, error) { return openRegular(source, rec.Path) },
		names:   make(map[inodeKey]string),
	}
	return r.makeAll(records)
}

// makeAll makes all files of a source in an empty root. The attributes of a
// directory are set when it is full.
func (r *restorer) makeAll(records Source) error {
	var open []*Record // the directories that the current path is in
	leave := func(path string) error {
		for len(open) > 0 && !plist.Within(path, open[len(open)-1].Path) {
			dir := open[len(open)-1]
			open = open[:len(open)-1]
			if err := r.dress(dir); err != nil {
				return wrap(dir, err)
			}
		}
		return nil
	}
	err := compare(records, Nothing{}, func(p pair) error {
		rec := p.before
		if err := leave(rec.Path); err != nil {
			return err
		}
		if rec.Unread != "" {
			return wrap(rec, errors.New(rec.Unread))
		}
		if rec.Path != "." {
			if err := r.make(rec); err != nil {
				return wrap(rec, err)
			}
		}
		if rec.Mode.IsDir() {
			open = append(open, rec)
			return nil
		}
		return wrap(rec, r.dress(rec))
	})
	if err != nil {
		return err
	}
	for i := len(open) - 1; i >= 0; i-- {
		if err := r.dress(open[i]); err != nil {
			return wrap(open[i], err)
		}
	}
	return nil
}
