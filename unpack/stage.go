package unpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"syscall"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// A stager makes the objects that a list describes, under other names.
type stager struct {
	sys    *system
	open   func(e *plist.Entry) (plist.File, error)
	bodies map[string]string // first name in the list -> where that file is already
	apart  []string          // paths that are files of their own: no link leads to another file system
}

// A directory gets its attributes when all is in it.
type madeDir struct {
	entry *plist.Entry
	at    string
}

// stage makes a subtree at another place: entries are one directory and all below
// it, or one other file.
func (g *stager) stage(entries []plist.Entry, at string) error {
	top := entries[0].Path
	var dirs []madeDir
	finish := func(next string) error {
		for n := len(dirs) - 1; n >= 0 && (next == "" || !plist.Within(next, dirs[n].entry.Path)); n-- {
			if err := g.sys.setAttributes(dirs[n].at, dirs[n].entry); err != nil {
				return err
			}
			dirs = dirs[:n]
		}
		return nil
	}
	for i := range entries {
		e := &entries[i]
		if err := finish(e.Path); err != nil {
			return err
		}
		name := at + e.Path[len(top):]
		if e.Mode.IsDir() {
			if err := g.sys.mkdir(name, 0o700); err != nil {
				return err
			}
			dirs = append(dirs, madeDir{e, name})
			continue
		}
		if err := g.object(e, name); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return finish("")
}

// object makes anything but a directory.
func (g *stager) object(e *plist.Entry, name string) error {
	if linkable(e) {
		if old := g.bodies[bodyOf(e)]; old != "" {
			err := g.sys.link(old, name)
			if !errors.Is(err, syscall.EXDEV) {
				return err
			}
			g.apart = append(g.apart, e.Path)
			return g.alone(e, name, func(*plist.Entry) (plist.File, error) { return g.sys.openFile(old) })
		}
		g.bodies[bodyOf(e)] = name
	}
	return g.alone(e, name, g.open)
}

// alone makes a file of its own.
func (g *stager) alone(e *plist.Entry, name string, open func(*plist.Entry) (plist.File, error)) (err error) {
	switch e.Mode.Type() {
	case 0:
		err = g.file(e, name, open)
	case fs.ModeSymlink:
		err = g.sys.symlink(e.Link, name)
	case fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		err = g.sys.mknod(name, e)
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return err
	}
	return g.sys.setAttributes(name, e)
}

// file makes a regular file and checks that its content is the listed one.
func (g *stager) file(e *plist.Entry, name string, open func(*plist.Entry) (plist.File, error)) (err error) {
	in, err := open(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := g.sys.create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := &sparseWriter{f: out, sparse: isSparse(in, e.Size)}
	digest, err := capture.Digest(io.TeeReader(blockReader{in}, w))
	if err != nil {
		return err
	}
	if digest != e.Digest || w.size != e.Size {
		return errFalseContent
	}
	return out.Truncate(w.size) // a hole at the end
}

var errFalseContent = errors.New("the content is not the one in the packing list")

// isSparse reports whether a file has holes.
func isSparse(f plist.File, size int64) bool {
	switch f := f.(type) {
	case tarball.Sparse:
		for _, x := range f.Extents() {
			size -= x.Length
		}
		return size > 0
	case *os.File:
		return hasHoles(f, size)
	}
	return false
}

// hole is the size of the blocks that package tarball looks for holes in.
const hole = 4096

// A blockReader reads in whole blocks, but for the last.
type blockReader struct{ r io.Reader }

func (b blockReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(b.r, p[:max(len(p)/hole*hole, 1)])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

// A sparseWriter leaves holes where a sparse file has blocks of zeros. What it
// gets begins at the beginning of a block.
type sparseWriter struct {
	f      io.WriteSeeker
	sparse bool
	size   int64
}

func (w *sparseWriter) Write(p []byte) (int, error) {
	w.size += int64(len(p))
	if !w.sparse {
		return w.f.Write(p)
	}
	for from := 0; from < len(p); {
		to := min(from+hole, len(p))
		zero := isZero(p[from:to])
		for to < len(p) && isZero(p[to:min(to+hole, len(p))]) == zero {
			to = min(to+hole, len(p))
		}
		var err error
		if zero {
			_, err = w.f.Seek(int64(to-from), io.SeekCurrent)
		} else {
			_, err = w.f.Write(p[from:to])
		}
		if err != nil {
			return from, err
		}
		from = to
	}
	return len(p), nil
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// keptAt is the place in the store of what a step displaced.
func (r *Root) keptAt(transaction int, s *step) string {
	return r.at(keptName, strconv.Itoa(transaction), strconv.Itoa(s.number))
}

// snapshot lists what is at a name, as if it were at another path. If it is a
// directory, all below it too.
func (s *system) snapshot(name, as string, hash hashing) (*plist.List, error) {
	l := &plist.List{}
	first := make(map[capture.Inode]string)
	var walk func(name, as string) error
	walk = func(name, as string) error {
		e, inode, err := s.lstat(name, hash)
		if err != nil {
			return err
		}
		e.Path = as
		if inode.Nlink > 1 && linkable(&e) {
			inode.Nlink = 0
			if body, ok := first[inode]; ok {
				e.Link = body
			} else {
				first[inode] = as
			}
		}
		l.Entries = append(l.Entries, e)
		if !e.Mode.IsDir() {
			return nil
		}
		names, err := s.readDir(name)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := walk(path.Join(name, n), path.Join(as, n)); err != nil {
				return err
			}
		}
		return nil
	}
	return l, walk(name, as)
}

// below returns the entries of a list at a path and below it.
func below(l *plist.List, top string) []plist.Entry {
	from, _ := slices.BinarySearchFunc(l.Entries, top, func(e plist.Entry, p string) int { return plist.ComparePaths(e.Path, p) })
	to := from
	for to < len(l.Entries) && plist.Within(l.Entries[to].Path, top) {
		to++
	}
	return l.Entries[from:to]
}
