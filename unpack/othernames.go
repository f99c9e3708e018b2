package unpack

import (
	"errors"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A displaced file may have other names, which stay, and of which the transaction may know
// nothing. What
// goes to the store is then a copy: whoever changes the file by another name would
// change what is kept, and the other names would count one more than there are.

// noteOtherNames tells of displaced files that have names elsewhere: these are not
// looked for, so what comes back is a file of its own.
func (p *planner) noteOtherNames(before *plist.List, all []step) {
	names := make(map[capture.Inode]uint32)
	for _, e := range before.Entries {
		names[p.inodes[e.Path]]++
	}
	for _, s := range all {
		if !s.displaces() {
			continue
		}
		for _, b := range below(before, s.path) {
			if inode := p.inodes[b.Path]; linkable(&b) && inode.Nlink > names[inode] {
				p.note(b.Path, "has other names, which stay what they are; what comes back is a file of its own")
			}
		}
	}
}

// separate makes copies of what a step displaced and has names elsewhere.
func (w *work) separate(s *step) error {
	for _, b := range below(w.Before, s.path) {
		if !linkable(&b) {
			continue
		}
		name := s.temporary(w.Number) + b.Path[len(s.path):]
		e, inode, err := w.sys.lstat(name, noHash)
		if errors.Is(err, fs.ErrNotExist) || err == nil && inode.Nlink == 1 {
			continue
		}
		if err != nil {
			return err
		}
		known, err := w.displacedNames(bodyOf(&b), inode)
		if err != nil {
			return err
		}
		if inode.Nlink > known && linkable(&e) {
			if err := w.copyInPlace(name, name+"-copy"); err != nil {
				return err
			}
		}
	}
	return nil
}

// displacedNames counts the names of a file that the transaction displaced, or moved to
// the store already.
func (w *work) displacedNames(body string, inode capture.Inode) (n uint32, err error) {
	for i := range w.steps {
		s := &w.steps[i]
		if !s.displaces() {
			continue
		}
		for _, b := range below(w.Before, s.path) {
			if !linkable(&b) || bodyOf(&b) != body {
				continue
			}
			for _, top := range []string{s.temporary(w.Number), w.keptAt(w.Number, s)} {
				_, found, err := w.sys.lstat(top+b.Path[len(s.path):], noHash)
				if err == nil && found.SameFile(inode) {
					n++
				} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return 0, err
				}
			}
		}
	}
	return n, nil
}

// copyInPlace makes of a name of a file a file of its own, by way of another name.
func (w *work) copyInPlace(name, copied string) error {
	l, err := w.sys.snapshot(name, name, andHash)
	if err != nil {
		return err
	}
	if err := w.sys.removeAll(copied); err != nil {
		return err
	}
	g := &stager{sys: w.sys, open: func(e *plist.Entry) (plist.File, error) { return w.sys.openFile(e.Path) }, bodies: make(map[string]string)}
	if err := g.stage(l.Entries, copied); err != nil {
		return err
	}
	if l.Entries[0].Mode.IsRegular() {
		if err := w.sys.fsync(copied); err != nil {
			return err
		}
	}
	return w.sys.rename(copied, name, replace)
}
