package overlay

import (
	"context"
	"os"
	"path"

	"github.com/sandbox-install/sandbox-install/plist"
)

// When a directory is renamed, the mounts below it go along. Their layers then are
// deleted in the one place and added in the other, as is all else in the directory.

// A point is where a layer is mounted: its path, and the same in the layer it is
// mounted on.
type point struct{ path, inside string }

// mountPoints finds the inodes that layers, sorted by path, are mounted on: for each
// layer by its path the points on it, by the number of the inode in lower, which it
// keeps in merged.
func mountPoints(layers []layer) map[string]map[uint64]point {
	points := make(map[string]map[uint64]point)
	for i := range layers {
		var l *layer
		for j := range layers[:i] {
			if plist.Within(layers[i].path, layers[j].path) && layers[j].upper != nil {
				l = &layers[j]
			}
		}
		if l == nil {
			continue
		}
		o := opener{root: l.lower}
		p := point{layers[i].path, l.inside(layers[i].path)}
		dir, name, err := o.dir(p.inside)
		if err != nil {
			continue // mounted on what was made for it, and lower does not have
		}
		on, err := kind(cursor{fd: dir}, name)
		o.close()
		if err != nil || on == nil {
			continue
		}
		if points[l.path] == nil {
			points[l.path] = make(map[uint64]point)
		}
		points[l.path][realIno(on.Ino)] = p
	}
	return points
}

// isMoved reports whether a new file is what a layer is mounted on, which was
// elsewhere before, and remembers where it is now.
func (w *walker) isMoved(f *finding) bool {
	if f.before != nil || f.after == nil {
		return false
	}
	p, ok := w.points[realIno(f.after.Ino)]
	if !ok || !w.came && exists(w.layer.merged, p.inside) {
		return false
	}
	w.moved[p.path] = f.path
	return true
}

func exists(root *os.File, name string) bool {
	o := opener{root: root}
	dir, base, err := o.dir(name)
	if err != nil {
		return false
	}
	defer o.close()
	f, err := kind(cursor{fd: dir}, base)
	return err == nil && f != nil
}

// gone lists the content of a layer that was moved, as deleted.
func (w *walker) gone(ctx context.Context) error {
	return w.visit(ctx, w.layer.path, w.layer.top(), place{lower: true, whole: true})
}

// come lists the content of a layer that was moved, as added, and has the layer at
// its new path from then on.
func (w *walker) come(ctx context.Context) error {
	w.layer.path, w.came = w.moved[w.layer.path], true
	return w.visit(ctx, w.layer.path, w.layer.top(), place{merged: true, whole: true})
}

// top is the name by which the root of a layer is found in its directories.
func (l *layer) top() string {
	if l.upper == nil {
		return path.Base(l.path)
	}
	return "."
}
