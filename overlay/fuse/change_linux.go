package fuse

import (
	"errors"
	"fmt"
	"strconv"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A blank is what is to be made.
type blank struct {
	mode   uint32 // with its type
	umask  uint32
	rdev   uint32
	target string // of a symlink
	from   *object
	caller gofuse.Caller
	fd     int // of a regular file that was made
}

// Mknod makes a file that is no directory. A character device 0:0 is refused: it
// would be a whiteout.
func (u *Union) Mknod(_ <-chan struct{}, in *gofuse.MknodIn, name string, out *gofuse.EntryOut) gofuse.Status {
	if in.Mode&unix.S_IFMT == unix.S_IFCHR && in.Rdev == 0 {
		return gofuse.EPERM
	}
	return u.make(in.NodeId, name, &blank{mode: in.Mode, umask: in.Umask, rdev: in.Rdev, caller: in.Caller}, out)
}

// Mkdir makes a directory.
func (u *Union) Mkdir(_ <-chan struct{}, in *gofuse.MkdirIn, name string, out *gofuse.EntryOut) gofuse.Status {
	return u.make(in.NodeId, name, &blank{mode: in.Mode&0o7777 | unix.S_IFDIR, umask: in.Umask, caller: in.Caller}, out)
}

// Symlink makes a symlink.
func (u *Union) Symlink(_ <-chan struct{}, header *gofuse.InHeader, target, name string, out *gofuse.EntryOut) gofuse.Status {
	return u.make(header.NodeId, name, &blank{mode: unix.S_IFLNK | 0o777, target: target, caller: header.Caller}, out)
}

// Create makes a file, which is read and written without a handle, as all are.
func (u *Union) Create(_ <-chan struct{}, in *gofuse.CreateIn, name string, out *gofuse.CreateOut) gofuse.Status {
	out.OpenFlags = gofuse.FOPEN_KEEP_CACHE
	return u.make(in.NodeId, name, &blank{mode: in.Mode&0o7777 | unix.S_IFREG, umask: in.Umask, caller: in.Caller}, &out.EntryOut)
}

// Link gives a file one more name.
func (u *Union) Link(_ <-chan struct{}, in *gofuse.LinkIn, name string, out *gofuse.EntryOut) gofuse.Status {
	defer u.ahead(in.Oldnodeid)()
	o := u.object(in.Oldnodeid)
	if o == nil {
		return stale
	}
	return u.make(in.NodeId, name, &blank{from: o}, out)
}

// make makes something by a name that there is not.
func (u *Union) make(parent uint64, name string, b *blank, out *gofuse.EntryOut) gofuse.Status {
	u.tree.Lock()
	defer u.tree.Unlock()
	p := u.object(parent)
	if p == nil {
		return stale
	}
	var st unix.Statx_t
	o, err := u.makeIn(p, name, b, &st)
	if err != nil {
		return status(err)
	}
	u.answer(o, &st, out)
	return gofuse.OK
}

// makeIn makes it in a directory, and tells its attributes.
func (u *Union) makeIn(p *object, name string, b *blank, st *unix.Statx_t) (*object, error) {
	if p.protected&unix.STATX_ATTR_IMMUTABLE != 0 || b.from != nil && b.from.protected != 0 {
		return nil, unix.EPERM
	}
	if err := u.raise(p, false); err != nil {
		return nil, err
	}
	if b.from != nil {
		if err := u.raise(b.from, false); err != nil {
			return nil, err
		}
	}
	b.mask(u, p)
	err := u.in(p.upper, func(dir int) error {
		err := u.fill(dir, name, b)
		if err != unix.EEXIST {
			return err
		}
		// The kernel knows of nothing by this name: it is a whiteout.
		if err := unix.Unlinkat(dir, name, 0); err != nil {
			return err
		}
		if err = u.fill(dir, name, b); err == nil && b.mode&unix.S_IFMT == unix.S_IFDIR {
			err = u.setOpaque(dir, name)
		}
		if err != nil {
			_ = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) // which only setOpaque leaves
			return errors.Join(err, u.whiteOut(dir, name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.from == nil {
		return u.fresh(p, name, b, st)
	}
	f, err := u.find(p, name)
	if err != nil {
		return nil, err
	}
	if b.from.shared != nil {
		b.from.shared.names++
	}
	o, err := u.meet(p, name, f, true)
	if err != nil {
		return nil, err
	}
	return o, u.stat(o, st)
}

// fresh makes the object of what was just made: there is nothing to be known of it. A
// regular file is open already, and stays so: it will be written.
func (u *Union) fresh(p *object, name string, b *blank, st *unix.Statx_t) (*object, error) {
	o := &object{upper: &place{p.upper, name}, orphan: -1}
	if !b.isRegular() {
		return o, u.introduce(o, p, name, st)
	}
	opened := u.files.insert(o, b.fd)
	defer u.files.release(opened)
	if err := statx(b.fd, "", unix.AT_EMPTY_PATH, st); err != nil {
		return nil, err
	}
	u.enter(o, p, name, st)
	return o, nil
}

// introduce has the kernel know a new object.
func (u *Union) introduce(o, parent *object, name string, st *unix.Statx_t) error {
	if err := u.stat(o, st); err != nil {
		return err
	}
	u.enter(o, parent, name, st)
	return nil
}

// enter gives a new object its numbers.
func (u *Union) enter(o, parent *object, name string, st *unix.Statx_t) {
	o.key = keyOf(st)
	o.upperKey, o.typ, o.ino = o.key, o.key.typ, u.number(o.key)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next++
	o.id, o.lookups = u.next, 1
	u.byFile[o.key] = o
	u.isMet(o)
	if parent != nil {
		u.setName(o, parent, name)
	}
}

// fill makes what is wanted in a directory of upper.
func (u *Union) fill(dir int, name string, b *blank) (err error) {
	if b.from != nil {
		return u.to(b.from, func(from int, base string, nofollow int) error {
			flags := 0
			if nofollow == 0 {
				flags = unix.AT_SYMLINK_FOLLOW
			}
			return unix.Linkat(from, base, dir, name, flags)
		})
	}
	switch b.mode & unix.S_IFMT {
	case unix.S_IFREG:
		const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC
		b.fd, err = unix.Openat(dir, name, flags, b.mode&0o7777)
	case unix.S_IFDIR:
		err = unix.Mkdirat(dir, name, b.mode&0o7777)
	case unix.S_IFLNK:
		err = unix.Symlinkat(b.target, dir, name)
	default:
		err = unix.Mknodat(dir, name, b.mode, int(b.rdev))
	}
	if err != nil {
		return err
	}
	if err = b.own(dir, name); err != nil {
		flags := 0
		switch b.mode & unix.S_IFMT {
		case unix.S_IFREG:
			unix.Close(b.fd)
		case unix.S_IFDIR:
			flags = unix.AT_REMOVEDIR
		}
		_ = unix.Unlinkat(dir, name, flags)
	}
	return err
}

func (b *blank) isRegular() bool { return b.mode&unix.S_IFMT == unix.S_IFREG }

// mask takes from the mode what the umask takes, unless the directory has a default
// access control list, which then counts instead (acl(5)).
//
// Preconditions: the directory is in upper.
func (b *blank) mask(u *Union, dir *object) {
	if b.umask == 0 {
		return
	}
	if dir.defaultACL == 0 {
		dir.defaultACL = -1
		err := u.in(dir.upper, func(fd int) error {
			_, err := unix.Getxattr(strconv.Itoa(fd), "system.posix_acl_default", nil)
			return err
		})
		if err == nil {
			dir.defaultACL = 1
		}
	}
	if dir.defaultACL < 0 {
		b.mode &^= b.umask
	}
}

// own gives what was made to who made it, and back the bits that this takes. In a
// set-group-id directory the group is the directory's already.
func (b *blank) own(dir int, name string) error {
	if b.caller.Uid == 0 && b.caller.Gid == 0 {
		return nil
	}
	var st unix.Statx_t
	if err := statx(dir, "", unix.AT_EMPTY_PATH, &st); err != nil {
		return err
	}
	gid := int(b.caller.Gid)
	if st.Mode&unix.S_ISGID != 0 {
		gid = -1
	}
	taken := b.mode & (unix.S_ISUID | unix.S_ISGID)
	if b.isRegular() {
		err := unix.Fchown(b.fd, int(b.caller.Uid), gid)
		if err == nil && taken != 0 {
			err = unix.Fchmod(b.fd, b.mode&0o7777)
		}
		return err
	}
	err := unix.Fchownat(dir, name, int(b.caller.Uid), gid, unix.AT_SYMLINK_NOFOLLOW)
	if typ := b.mode & unix.S_IFMT; err == nil && taken != 0 && typ != unix.S_IFDIR {
		err = unix.Fchmodat(dir, name, b.mode&0o7777, 0)
	}
	return err
}

// Tmpfile makes a file without a name.
func (u *Union) Tmpfile(_ <-chan struct{}, in *gofuse.CreateIn, out *gofuse.CreateOut) gofuse.Status {
	u.tree.Lock()
	defer u.tree.Unlock()
	p := u.object(in.NodeId)
	if p == nil {
		return stale
	}
	var st unix.Statx_t
	b := &blank{mode: in.Mode&0o7777 | unix.S_IFREG, umask: in.Umask, caller: in.Caller}
	o, err := u.nameless(p, b, in.Flags, &st)
	if err != nil {
		return status(err)
	}
	out.OpenFlags = gofuse.FOPEN_KEEP_CACHE
	u.answer(o, &st, &out.EntryOut)
	return gofuse.OK
}

func (u *Union) nameless(p *object, b *blank, flags uint32, st *unix.Statx_t) (*object, error) {
	if err := u.raise(p, false); err != nil {
		return nil, err
	}
	b.mask(u, p)
	err := u.in(p.upper, func(dir int) (err error) {
		b.fd, err = unix.Open(strconv.Itoa(dir), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|int(flags)&unix.O_EXCL, b.mode&0o7777)
		if err != nil {
			return err
		}
		if err := b.own(dir, ""); err != nil {
			unix.Close(b.fd)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	o := &object{orphan: b.fd}
	if err := u.introduce(o, nil, "", st); err != nil {
		unix.Close(b.fd)
		return nil, err
	}
	return o, nil
}

// Unlink takes a name away.
func (u *Union) Unlink(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	return u.remove(header.NodeId, name)
}

// Rmdir removes a directory, in which nothing is shown.
func (u *Union) Rmdir(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	return u.remove(header.NodeId, name)
}

func (u *Union) remove(parent uint64, name string) gofuse.Status {
	u.tree.Lock()
	defer u.tree.Unlock()
	p := u.object(parent)
	if p == nil {
		return stale
	}
	f, err := u.find(p, name)
	if err == nil && !f.exists() {
		err = unix.ENOENT
	}
	if err == nil {
		err = u.removeIn(p, name, f)
	}
	return status(err)
}

func (u *Union) removeIn(p *object, name string, f *finding) error {
	v, err := u.victim(p, name, f)
	if err != nil {
		return err
	}
	if err := u.raise(p, false); err != nil {
		return err
	}
	if err := v.hold(); err != nil {
		return err
	}
	err = u.in(p.upper, func(dir int) error {
		switch {
		case f.upper == nil:
			return u.whiteOut(dir, name)
		case v.isDir:
			return u.removeDir(dir, name, f)
		case f.below:
			return u.replaceByWhiteout(dir, name)
		}
		return unix.Unlinkat(dir, name, 0)
	})
	v.done(err)
	return err
}

// removeDir removes a directory of upper, with the whiteouts in it.
func (u *Union) removeDir(dir int, name string, f *finding) error {
	tmp := u.newName()
	return u.in(&u.tmp, func(work int) error {
		if f.below {
			if err := u.whiteOut(work, tmp); err != nil {
				return err
			}
			if err := unix.Renameat2(work, tmp, dir, name, unix.RENAME_EXCHANGE); err != nil {
				return err
			}
		} else if err := unix.Renameat(dir, name, work, tmp); err != nil {
			return err
		}
		return clearDir(work, tmp)
	})
}

// clearDir removes a directory that holds whiteouts at most.
func clearDir(dir int, name string) error {
	err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if err != unix.ENOTEMPTY {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for err == nil {
		var names []string
		names, err = readSome(fd)
		if len(names) == 0 {
			break
		}
		for _, n := range names {
			if err := unix.Unlinkat(fd, n, 0); err != nil {
				return err
			}
		}
		_, err = unix.Seek(fd, 0, 0)
	}
	if err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

// A victim is what loses a name.
type victim struct {
	u      *Union
	o      *object // nil if the kernel does not know it
	parent *object
	name   string
	isDir  bool
	lowers uint32 // names that it has in its lower directory, if it is there alone
	key    file
	orphan int
}

// victim checks that what was found may lose its name.
func (u *Union) victim(p *object, name string, f *finding) (*victim, error) {
	o := u.known(f)
	st := f.st()
	v := &victim{u: u, o: o, parent: p, name: name, key: keyOf(st), isDir: st.Mode&unix.S_IFMT == unix.S_IFDIR, orphan: -1}
	if p.protected != 0 || o != nil && o.protected != 0 {
		return nil, unix.EPERM
	}
	if v.isDir {
		return v, u.isEmpty(f)
	}
	if f.upper == nil && st.Nlink > 1 {
		v.lowers = st.Nlink
	}
	return v, nil
}

// hold gets hold of a file that the kernel may go on using.
func (v *victim) hold() (err error) {
	o := v.o
	if o == nil || o.upper == nil || o.orphan >= 0 || o.shared != nil || o.parent != v.parent || o.name != v.name {
		return nil
	}
	v.orphan = -1
	return v.u.at(o.upper, func(dir int, name string) error {
		v.orphan, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
}

// done has the name forgotten, or if there was an error, nothing.
func (v *victim) done(err error) {
	if err != nil {
		if v.orphan >= 0 {
			unix.Close(v.orphan)
		}
		return
	}
	u, o := v.u, v.o
	switch s := u.shared[v.key]; {
	case o != nil && o.shared != nil:
		o.shared.names--
	case v.isDir:
	case s != nil:
		s.names--
	case v.lowers > 1:
		s = &shared{names: v.lowers - 1}
		if u.shared[v.key] = s; o != nil {
			o.shared = s
		}
	}
	if o == nil || o.parent != v.parent || o.name != v.name {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if v.orphan >= 0 {
		o.orphan, o.upper = v.orphan, nil
		if o.isDir() {
			o.lowers = nil
		}
	}
	u.setName(o, nil, "")
}

// whiteOut puts a whiteout where nothing is. All whiteouts are links to one, as far as
// the file system has room for them.
func (u *Union) whiteOut(dir int, name string) error {
	if u.whiteout != "" {
		err := unix.Linkat(u.work, u.whiteout, dir, name, 0)
		if err != unix.EMLINK {
			return err
		}
	}
	whiteout := u.newName()
	if err := unix.Mknodat(u.work, whiteout, unix.S_IFCHR, 0); err != nil {
		return err
	}
	u.whiteout = whiteout
	return unix.Linkat(u.work, whiteout, dir, name, 0)
}

func (u *Union) replaceByWhiteout(dir int, name string) error {
	tmp := u.newName()
	if err := u.whiteOut(u.work, tmp); err != nil {
		return err
	}
	// Were both links to one file, rename(2) would do nothing; name is none.
	return unix.Renameat(u.work, tmp, dir, name)
}

func (u *Union) setOpaque(dir int, name string) error {
	return unix.Lsetxattr(fmt.Sprintf("%d/%s", dir, name), u.opt.Private+"opaque", []byte("y"), 0)
}
