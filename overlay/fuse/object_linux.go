package fuse

import (
	"fmt"
	"slices"
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// An object is a file of a union that the kernel knows by a number, or the directory
// of one.
//
// All but lookups is guarded by [Union.tree], and what a lookup finds anew, by mu.
type object struct {
	id      uint64
	lookups int64 // by the kernel, and one for each object that has this as its parent
	typ     uint32
	ino     uint64

	// key is what it was when it was met first: a file of a lower directory keeps it
	// when it is copied up, and is upperKey too then.
	key, upperKey file

	// The name by which it was met last; without a parent it has none any more.
	parent *object
	name   string

	upper  *place   // nil if it is in lower directories only
	lowers []*place // of a directory all that are merged; else one, or none

	// orphan leads to what upper has without a name, or without a known one; else -1.
	orphan int

	shared    *shared // of a lower file that has, or had, several names
	protected uint32  // STATX_ATTR_IMMUTABLE, STATX_ATTR_APPEND
	large     bool    // a lower file with content that is copied ahead

	defaultACL int8 // of a directory in upper: 1 if it has one, -1 if it has none, 0 if that is not known
}

// shared is a lower file with several names, of which one or all were changed.
type shared struct {
	names uint32 // how many there are now
	upper *place // in the index, once it is copied up
	key   file   // what that is
}

func (o *object) isDir() bool { return o.typ == unix.S_IFDIR }

// isReal reports whether a directory is to be found in one layer as it is.
func (o *object) isReal() bool {
	return o.upper == nil && len(o.lowers) == 1 || o.upper != nil && len(o.lowers) == 0
}

func (u *Union) object(id uint64) *object {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byID[id]
}

// to calls do with how the file itself, or its uppermost directory, is to be reached:
// a name in a directory, or with dir AT_FDCWD a path, that is a link to be followed
// then. Nofollow is 0 or AT_SYMLINK_NOFOLLOW.
func (u *Union) to(o *object, do func(dir int, name string, nofollow int) error) error {
	if o.orphan >= 0 {
		return do(unix.AT_FDCWD, fmt.Sprint(o.orphan), 0)
	}
	p := o.upper
	if p == nil {
		p = o.lowers[0]
	}
	return u.at(p, func(dir int, name string) error { return do(dir, name, unix.AT_SYMLINK_NOFOLLOW) })
}

// path calls do with a relative path to the file, for calls that take no directory.
// It is right for those that follow no link only, like lgetxattr(2), but for an orphan.
func (u *Union) path(o *object, do func(path string, follow bool) error) error {
	return u.to(o, func(dir int, name string, nofollow int) error {
		if nofollow == 0 {
			return do(name, true)
		}
		return do(fmt.Sprintf("%d/%s", dir, name), false)
	})
}

func (u *Union) stat(o *object, st *unix.Statx_t) error {
	return u.to(o, func(dir int, name string, nofollow int) error {
		return unix.Statx(dir, name, nofollow|unix.AT_NO_AUTOMOUNT, statxMask, st)
	})
}

// A finding is what the layers have by a name.
type finding struct {
	upper    *place // what upper has
	upperSt  unix.Statx_t
	whiteout bool // upper says that there is nothing

	lowers  []*place // what is shown of the lower directories
	lowerSt unix.Statx_t

	below bool // lower directories have the name, though it may not be shown
}

// find looks for a name in all layers. That there is none is no error.
//
// Preconditions: tree is held, or shared.
func (u *Union) find(parent *object, name string) (*finding, error) {
	f := &finding{}
	if parent.upper != nil {
		err := u.in(parent.upper, func(fd int) error { return statx(fd, name, 0, &f.upperSt) })
		switch {
		case err == unix.ENOENT:
		case err != nil:
			return nil, err
		case isWhiteout(&f.upperSt):
			f.whiteout = true
		default:
			f.upper = &place{parent.upper, name}
		}
	}
	from := make([]*place, len(parent.lowers))
	for i, dir := range parent.lowers {
		from[i] = &place{dir, name}
	}
	redirected := false
	if f.upper != nil && f.upperSt.Mode&unix.S_IFMT == unix.S_IFDIR {
		to, err := u.redirect(f.upper)
		if err != nil {
			return nil, err
		}
		if redirected = to != ""; redirected {
			if err := u.look(f, from); err != nil {
				return nil, err
			}
			from = u.resolve(to, nil, from)
		}
	}
	below := f.below
	if err := u.look(f, from); err != nil {
		return nil, err
	}
	if redirected {
		f.below = below
	}
	return f, nil
}

// look looks at places of lower directories, topmost first, as far as one hides
// the next.
func (u *Union) look(f *finding, from []*place) error {
	f.lowers, f.below = nil, false
	hidden := f.whiteout || f.upper != nil && f.upperSt.Mode&unix.S_IFMT != unix.S_IFDIR
	if f.upper != nil && !hidden && len(from) > 0 {
		opaque, err := u.isOpaque(f.upper)
		if err != nil {
			return err
		}
		hidden = opaque
	}
	for i := 0; i < len(from); i++ {
		p := from[i]
		var st unix.Statx_t
		err := u.at(p, func(dir int, name string) error { return statx(dir, name, 0, &st) })
		if err == unix.ENOENT || err == unix.ENOTDIR {
			continue
		}
		if err != nil {
			return err
		}
		if isWhiteout(&st) {
			return nil
		}
		f.below = true
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if hidden || !isDir && (f.upper != nil || len(f.lowers) > 0) {
			return nil
		}
		if f.lowers = append(f.lowers, p); len(f.lowers) == 1 {
			f.lowerSt = st
		}
		if !isDir {
			return nil
		}
		if p.layer() == u.root.lowers[len(u.root.lowers)-1] {
			return nil
		}
		if hidden, err = u.isOpaque(p); err != nil {
			return err
		}
		to, err := u.redirect(p)
		if err != nil {
			return err
		}
		if to != "" { // it was renamed when its layer was the upper one
			from = slices.Concat(from[:i+1], u.resolve(to, p.parent, from[i+1:]))
		}
	}
	return nil
}

// layer is the root of the layer that a place is in.
func (p *place) layer() *place {
	for p.parent != nil {
		p = p.parent
	}
	return p
}

func (u *Union) isOpaque(p *place) (bool, error) {
	value, err := u.note(p, "opaque")
	return value == "y", err
}

func (u *Union) redirect(p *place) (string, error) { return u.note(p, "redirect") }

// note reads an attribute in which an overlay notes something; "" if there is none.
func (u *Union) note(p *place, name string) (value string, err error) {
	err = u.at(p, func(dir int, base string) error {
		b, err := sized(func(buf []byte) (int, error) {
			return unix.Lgetxattr(fmt.Sprintf("%d/%s", dir, base), u.opt.Private+name, buf)
		})
		value = string(b)
		return err
	})
	if err == unix.ENODATA || err == unix.ENOTSUP {
		return "", nil
	}
	return value, err
}

// resolve finds the places that the redirect of a directory leads to: from the roots of
// the lower directories below its own, or without a slash, beside where they would be
// otherwise.
func (u *Union) resolve(to string, dir *place, otherwise []*place) []*place {
	var places []*place
	if !strings.HasPrefix(to, "/") {
		for _, p := range otherwise {
			places = append(places, &place{p.parent, to})
		}
		return places
	}
	places = slices.Clone(u.root.lowers)
	if dir != nil {
		places = places[slices.Index(places, dir.layer())+1:]
	}
	for name := range strings.SplitSeq(to[1:], "/") {
		for i := range places {
			places[i] = &place{places[i], name}
		}
	}
	return places
}

// exists reports whether there is something by the name.
func (f *finding) exists() bool { return f.upper != nil || len(f.lowers) > 0 }

// st is what is shown of it.
func (f *finding) st() *unix.Statx_t {
	if f.upper != nil {
		return &f.upperSt
	}
	return &f.lowerSt
}

// known returns the object of what was found, if there is one.
func (u *Union) known(f *finding) *object {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byFile[keyOf(f.st())]
}

// meet returns the object of what was found by a name, once more.
//
// Preconditions: tree is held; or it is shared, and then nil says that it must be held.
func (u *Union) meet(parent *object, name string, f *finding, held bool) (*object, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o := u.byFile[keyOf(f.st())]
	if o == nil {
		u.mu.Unlock()
		made, err := u.newObject(f)
		u.mu.Lock()
		if err != nil {
			return nil, err
		}
		if o = u.byFile[made.key]; o == nil {
			o = made
		} // else somebody was faster, or it has another name
	}
	if o.parent != parent || o.name != name || f.upper != nil && o.orphan >= 0 {
		if !held && o.id != 0 {
			return nil, nil
		}
		u.setName(o, parent, name)
		if f.upper != nil && !o.isDir() && (o.shared == nil || o.shared.upper == nil) {
			if o.upper = f.upper; o.orphan >= 0 {
				unix.Close(o.orphan)
				o.orphan = -1
			}
		}
	}
	if o.id == 0 {
		u.next++
		o.id = u.next
		u.isMet(o)
		u.byFile[o.key] = o
	}
	if o.upperKey != (file{}) {
		u.byFile[o.upperKey] = o
	}
	o.lookups++
	return o, nil
}

// newObject makes the object of what was found.
func (u *Union) newObject(f *finding) (*object, error) {
	o := &object{typ: uint32(f.st().Mode) & unix.S_IFMT, upper: f.upper, lowers: f.lowers, orphan: -1}
	if f.upper != nil {
		o.upperKey = keyOf(&f.upperSt)
		o.key = o.upperKey
		flags, err := u.note(f.upper, "protattr")
		if err != nil {
			return nil, err
		}
		o.protected = protection(flags)
	}
	switch {
	case len(f.lowers) > 0:
		o.key = keyOf(&f.lowerSt)
		o.large = o.typ == unix.S_IFREG && f.lowerSt.Size >= large
		if f.upper == nil {
			o.protected = uint32(f.lowerSt.Attributes) & (unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND)
		}
	case f.upper != nil && u.copies[o.upperKey] != file{}:
		o.key = u.copies[o.upperKey]
	case f.upper != nil && !o.isDir():
		origin, err := u.note(f.upper, originNote)
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Sscanf(origin, originFormat, &o.key.dev, &o.key.ino); origin != "" && err != nil {
			return nil, err
		}
	}
	if !o.isDir() {
		if o.shared = u.shared[o.key]; o.shared != nil && o.shared.upper != nil {
			o.upper, o.upperKey = o.shared.upper, o.shared.key
		}
	}
	o.ino = u.number(o.key)
	return o, nil
}

// originNote is the attribute in which a copy tells what it is a copy of, if that had no
// other name. It is none of the kernel's own, which has a file handle in "origin".
const (
	originNote   = "sandbox-install.origin"
	originFormat = "%d:%d"
)

// setName gives an object its name; nil takes it away.
//
// Preconditions: tree and mu are held, or the object is new.
func (u *Union) setName(o, parent *object, name string) {
	if parent != nil {
		parent.lookups++
	}
	old := o.parent
	o.parent, o.name = parent, name
	if old != nil {
		u.drop(old, 1)
	}
}

// drop lets go of an object that the kernel, or an object below it, has forgotten.
//
// Preconditions: mu is held.
func (u *Union) drop(o *object, lookups int64) {
	for o != nil {
		if o.lookups -= lookups; o.lookups > 0 {
			return
		}
		delete(u.byID, o.id)
		for _, key := range []file{o.key, o.upperKey} {
			if u.byFile[key] == o {
				delete(u.byFile, key)
			}
		}
		u.files.forget(o)
		u.dirs.forget(o.upper)
		for _, p := range o.lowers {
			u.dirs.forget(p)
		}
		if o.orphan >= 0 {
			unix.Close(o.orphan)
			o.orphan = -1
		}
		o, lookups = o.parent, 1
	}
}

// Forget lets go of what the kernel has forgotten.
func (u *Union) Forget(id, lookups uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if o := u.byID[id]; o != nil {
		u.drop(o, int64(lookups))
	}
}

// Lookup finds a name. That there is none is an answer to be kept, too.
func (u *Union) Lookup(_ <-chan struct{}, header *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	u.tree.RLock()
	o, st, err := u.lookup(header.NodeId, name, false)
	u.tree.RUnlock()
	if err == nil && o == nil && st != nil {
		u.tree.Lock()
		o, st, err = u.lookup(header.NodeId, name, true)
		u.tree.Unlock()
	}
	if err != nil {
		return status(err)
	}
	out.SetEntryTimeout(forever)
	if o != nil {
		u.tree.RLock()
		defer u.tree.RUnlock()
		u.answer(o, st, out)
	}
	return gofuse.OK
}

// lookup finds the object of a name, and its attributes: none if there is no such
// name, and attributes alone if tree must be held to go on.
func (u *Union) lookup(parent uint64, name string, held bool) (*object, *unix.Statx_t, error) {
	p := u.object(parent)
	if p == nil {
		return nil, nil, unix.ESTALE
	}
	f, err := u.find(p, name)
	if err != nil || !f.exists() {
		return nil, nil, err
	}
	o, err := u.meet(p, name, f, held)
	if err != nil || o == nil {
		return nil, f.st(), err
	}
	if o.upper != nil && f.upper == nil { // by another name
		err = u.stat(o, &f.lowerSt)
	}
	return o, f.st(), err
}

// answer fills the answer to a lookup.
func (u *Union) answer(o *object, st *unix.Statx_t, out *gofuse.EntryOut) {
	out.NodeId, out.Generation = o.id, 1
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
	u.attr(o, st, &out.Attr)
}

// attr says what is shown of a file.
func (u *Union) attr(o *object, st *unix.Statx_t, out *gofuse.Attr) {
	*out = gofuse.Attr{
		Ino:       o.ino,
		Size:      st.Size,
		Blocks:    st.Blocks,
		Atime:     uint64(st.Atime.Sec),
		Mtime:     uint64(st.Mtime.Sec),
		Ctime:     uint64(st.Ctime.Sec),
		Atimensec: st.Atime.Nsec,
		Mtimensec: st.Mtime.Nsec,
		Ctimensec: st.Ctime.Nsec,
		Mode:      uint32(st.Mode),
		Nlink:     o.nlink(st),
		Owner:     gofuse.Owner{Uid: st.Uid, Gid: st.Gid},
		Rdev:      uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor)), // the kernel's new_encode_dev, of which stat(2)'s is a longer one
		Blksize:   st.Blksize,
	}
}

// nlink is how many names there are of a file. Of a merged directory it is 1, which
// tells find(1) that it is not known.
func (o *object) nlink(st *unix.Statx_t) uint32 {
	switch {
	case o.shared != nil:
		return o.shared.names
	case o.id == gofuse.FUSE_ROOT_ID, o.isDir() && o.parent != nil && !o.isReal():
		return 1
	case o.upper == nil && o.orphan < 0 && o.parent == nil:
		return 0
	case o.isDir() && o.parent == nil:
		return 0
	}
	return st.Nlink
}

// GetAttr tells the attributes.
func (u *Union) GetAttr(_ <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	u.tree.RLock()
	defer u.tree.RUnlock()
	o := u.object(in.NodeId)
	if o == nil {
		return stale
	}
	return u.tell(o, out)
}

func (u *Union) tell(o *object, out *gofuse.AttrOut) gofuse.Status {
	var st unix.Statx_t
	if err := u.stat(o, &st); err != nil {
		return status(err)
	}
	u.attr(o, &st, &out.Attr)
	out.SetTimeout(forever)
	return gofuse.OK
}
