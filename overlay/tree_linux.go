package overlay

import (
	"os"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A tree is the plist.Tree of all layers as they are after the run. It is quick
// for who opens a list's files in order, since it remembers the last directory.
// Its files are *os.File, whose holes can be sought, but for small ones that have
// none. Close it before the layers.
type tree struct {
	mu      sync.Mutex
	layers  []layer // sorted by path, outermost first
	openers []opener
	kept    *keep
}

func newTree(layers []layer, kept *keep) *tree {
	t := &tree{layers: layers, kept: kept}
	for _, l := range layers {
		t.openers = append(t.openers, opener{root: l.merged})
	}
	return t
}

// Open opens a regular file, by entry path.
func (t *tree) Open(path string) (plist.File, error) {
	if f := t.kept.open(path); f != nil {
		return f, nil
	}
	return t.openFile(path)
}

// openFile opens a regular file, be it kept or not.
func (t *tree) openFile(path string) (*os.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.layerOf(path)
	if i < 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	fd, err := t.openers[i].open(t.layers[i].inside(path))
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// layerOf is the number of the layer that an entry path is on; -1 if it is on none.
func (t *tree) layerOf(path string) int {
	for i := len(t.layers) - 1; i >= 0; i-- {
		if plist.Within(path, t.layers[i].path) {
			return i
		}
	}
	return -1
}

// Close closes what the tree has opened for itself.
func (t *tree) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.openers {
		t.openers[i].close()
	}
	return nil
}

// inside turns an entry path into one relative to the layer's directories.
func (l *layer) inside(entry string) string {
	switch {
	case l.upper == nil:
		return path.Base(l.path)
	case l.path == ".":
		return entry
	case l.path == entry:
		return "."
	}
	return entry[len(l.path)+1:]
}

// An opener opens files below a directory and remembers the last one's parent.
type opener struct {
	root   *os.File
	parent string
	fd     int // of parent; there is none while parent is ""
}

// open opens a regular file or directory to read. Neither the path nor its parents
// go through a symlink or out of the root.
func (o *opener) open(name string) (int, error) {
	fd, base, err := o.dir(name)
	if err != nil {
		return -1, err
	}
	return capture.OpenAt(fd, base)
}

// dir returns the parent directory of a path, valid until the next call, and the
// path's last name.
func (o *opener) dir(name string) (int, string, error) {
	parent := path.Dir(name)
	if parent == o.parent {
		return o.fd, path.Base(name), nil
	}
	o.close()
	fd, err := capture.OpenDir(int(o.root.Fd()), parent)
	if err != nil {
		return -1, "", err
	}
	o.parent, o.fd = parent, fd
	return fd, path.Base(name), nil
}

func (o *opener) close() {
	if o.parent != "" {
		unix.Close(o.fd)
		o.parent = ""
	}
}
