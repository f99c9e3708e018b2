package fuse

import (
	"fmt"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Rename gives a file another name. Directories that were there before are told in
// upper where they were (redirect_dir of overlayfs.rst).
func (u *Union) Rename(_ <-chan struct{}, in *gofuse.RenameIn, oldName, newName string) gofuse.Status {
	if in.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return gofuse.EINVAL // RENAME_WHITEOUT: on an overlay too
	}
	defer u.ahead(u.idOf(in.NodeId, oldName))()
	if in.Flags&unix.RENAME_EXCHANGE != 0 {
		defer u.ahead(u.idOf(in.Newdir, newName))()
	}
	u.tree.Lock()
	defer u.tree.Unlock()
	from, to := u.object(in.NodeId), u.object(in.Newdir)
	if from == nil || to == nil {
		return stale
	}
	r := &renaming{u: u, exchange: in.Flags&unix.RENAME_EXCHANGE != 0}
	err := r.find(&r.old, from, oldName)
	if err == nil {
		err = r.find(&r.new, to, newName)
	}
	if err == nil {
		err = r.check(in.Flags)
	}
	if err == nil {
		err = r.prepare()
	}
	if err == nil {
		err = r.do()
	}
	return status(err)
}

// idOf is the number of the object that a name leads to, if the kernel knows it.
func (u *Union) idOf(parent uint64, name string) uint64 {
	u.tree.RLock()
	defer u.tree.RUnlock()
	p := u.object(parent)
	if p == nil {
		return 0
	}
	f, err := u.find(p, name)
	if err != nil || !f.exists() {
		return 0
	}
	if o := u.known(f); o != nil {
		return o.id
	}
	return 0
}

// A renaming has two ends, of which each has a name and what is there, if anything.
type renaming struct {
	u        *Union
	old, new end
	exchange bool
}

type end struct {
	parent *object
	name   string
	f      *finding
	o      *object // nil if there is nothing
}

func (r *renaming) find(e *end, parent *object, name string) (err error) {
	e.parent, e.name = parent, name
	if e.f, err = r.u.find(parent, name); err == nil && e.f.exists() {
		if e.o, err = r.u.meet(parent, name, e.f, true); err == nil {
			r.u.Forget(e.o.id, 1) // the kernel has it anyway
		}
	}
	return err
}

func (r *renaming) check(flags uint32) error {
	switch {
	case r.old.o == nil, r.exchange && r.new.o == nil:
		return unix.ENOENT
	case flags&unix.RENAME_NOREPLACE != 0 && r.new.o != nil:
		return unix.EEXIST
	case r.old.parent.protected != 0, r.old.o.protected != 0,
		r.new.parent.protected&unix.STATX_ATTR_IMMUTABLE != 0,
		r.new.o != nil && (r.new.parent.protected != 0 || r.new.o.protected != 0):
		return unix.EPERM
	}
	if r.new.o != nil && !r.exchange && r.new.o.isDir() {
		return r.u.isEmpty(r.new.f)
	}
	return nil
}

// prepare has in upper what is renamed, by that name, and where it goes.
func (r *renaming) prepare() error {
	ends := []*end{&r.old}
	if r.exchange {
		ends = append(ends, &r.new)
	}
	for _, e := range ends {
		if err := r.u.raise(e.parent, false); err != nil {
			return err
		}
		if err := r.u.raise(e.o, false); err != nil {
			return err
		}
		if e.f.upper == nil && !e.o.isDir() { // another name of it was met last, or the index has it
			if err := r.u.linkUp(e.o, e.parent, e.name); err != nil {
				return err
			}
		}
	}
	if err := r.u.raise(r.new.parent, false); err != nil {
		return err
	}
	if err := r.mark(&r.old, &r.new); err != nil || !r.exchange {
		return err
	}
	return r.mark(&r.new, &r.old)
}

// mark notes on a directory what it needs to be the same by another name: where its
// lower directories are, or that none of that name are its.
func (r *renaming) mark(e, to *end) error {
	if !e.o.isDir() {
		return nil
	}
	return r.u.at(e.o.upper, func(dir int, name string) error {
		if len(e.o.lowers) == 0 {
			if len(to.parent.lowers) == 0 {
				return nil
			}
			return r.u.setOpaque(dir, name)
		}
		redirect := e.o.lowers[0].path()
		err := unix.Lsetxattr(fmt.Sprintf("%d/%s", dir, name), r.u.opt.Private+"redirect", []byte(redirect), 0)
		if err == unix.ENOSPC || err == unix.E2BIG || err == unix.ERANGE { // too long a path
			return unix.EXDEV
		}
		return err
	})
}

func (r *renaming) do() error {
	u := r.u
	var v *victim
	if r.new.o != nil && !r.exchange {
		var err error
		if v, err = u.victim(r.new.parent, r.new.name, r.new.f); err != nil {
			return err
		}
		if err := v.hold(); err != nil {
			return err
		}
	}
	err := u.in(r.old.parent.upper, func(from int) error {
		return u.in(r.new.parent.upper, func(to int) error { return r.move(from, to) })
	})
	if v != nil {
		v.done(err)
	}
	if err != nil {
		return err
	}
	r.moved(&r.old, &r.new)
	if r.exchange {
		r.moved(&r.new, &r.old)
	}
	return nil
}

// move renames in upper, and leaves a whiteout where lower directories would show
// through.
func (r *renaming) move(from, to int) error {
	u, old, new := r.u, &r.old, &r.new
	if r.exchange {
		return unix.Renameat2(from, old.name, to, new.name, unix.RENAME_EXCHANGE)
	}
	// A directory takes the place of a whiteout, or of a directory with whiteouts, by
	// an exchange.
	if old.o.isDir() && (new.f.whiteout || new.f.upper != nil) {
		if err := unix.Renameat2(from, old.name, to, new.name, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		switch {
		case new.f.whiteout && old.f.below:
			return nil
		case new.f.whiteout:
			return unix.Unlinkat(from, old.name, 0)
		}
		return u.removeDir(from, old.name, &finding{below: old.f.below})
	}
	if !old.f.below {
		return unix.Renameat(from, old.name, to, new.name)
	}
	if err := unix.Renameat(from, old.name, to, new.name); err != nil {
		return err
	}
	return u.whiteOut(from, old.name)
}

// moved gives an object its other name.
func (r *renaming) moved(e, to *end) {
	u := r.u
	u.mu.Lock()
	defer u.mu.Unlock()
	o := e.o
	u.setName(o, to.parent, to.name)
	if o.shared != nil && o.shared.upper != nil {
		return
	}
	if o.isDir() {
		o.upper.parent, o.upper.name = to.parent.upper, to.name
		return
	}
	o.upper = &place{to.parent.upper, to.name}
}
