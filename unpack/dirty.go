package unpack

import (
	"errors"
	"path"
	"strings"
)

// A dirty is a path whose file was changed, or something below it. Nothing is
// remembered in a nil one.
type dirty struct {
	self  bool
	below map[string]*dirty
}

// at returns the dirty of a path, which it makes.
func (d *dirty) at(name string) *dirty {
	if name == "." {
		return d
	}
	for part := range strings.SplitSeq(name, "/") {
		next := d.below[part]
		if next == nil {
			next = &dirty{}
			d.put(part, next)
		}
		d = next
	}
	return d
}

func (d *dirty) put(part string, sub *dirty) {
	if d.below == nil {
		d.below = make(map[string]*dirty)
	}
	d.below[part] = sub
}

// mark remembers that the file at a path was changed.
func (d *dirty) mark(name string) {
	if d != nil {
		d.at(name).self = true
	}
}

// take forgets a path and what is below it, and returns that.
func (d *dirty) take(name string) *dirty {
	if d == nil {
		return nil
	}
	dir, base := d.at(path.Dir(name)), path.Base(name)
	sub := dir.below[base]
	delete(dir.below, base)
	return sub
}

// move follows a rename.
func (d *dirty) move(old, name string, how renaming) {
	moved, there := d.take(old), d.take(name)
	if moved != nil {
		d.at(path.Dir(name)).put(path.Base(name), moved)
	}
	if how == trade && there != nil {
		d.at(path.Dir(old)).put(path.Base(old), there)
	}
}

// each calls do with every path that was changed, directories last.
func (d *dirty) each(name string, do func(name string) error) (err error) {
	for base, sub := range d.below {
		err = errors.Join(err, sub.each(path.Join(name, base), do))
	}
	if d.self {
		err = errors.Join(err, do(name))
	}
	return err
}
