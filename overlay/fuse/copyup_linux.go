package fuse

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raise has an object in upper, by the name that it was met by if it still has it,
// with all that it was in lower: content (unless empty is set, as for what is to be
// truncated), owner, mode, attributes, holes and times.
//
// Preconditions: tree is held. The same is true of all that change something.
func (u *Union) raise(o *object, empty bool) error {
	if o.upper != nil || o.orphan >= 0 {
		return nil
	}
	if o.parent != nil {
		if err := u.raise(o.parent, false); err != nil {
			return err
		}
	}
	var st unix.Statx_t
	if err := u.stat(o, &st); err != nil {
		return err
	}
	tmp := u.newName()
	c := copier{u: u, st: &st, src: -1, dst: -1}
	defer c.close()
	err := u.in(&u.tmp, func(work int) error {
		err := c.copyTo(work, tmp, o, empty)
		if err == nil {
			err = u.install(work, tmp, o, &c)
		}
		if err != nil {
			_ = unix.Unlinkat(work, tmp, o.unlinkFlag()) // the error is told already
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	u.files.forget(o)
	if o.typ == unix.S_IFREG { // it is about to be changed
		u.files.release(u.files.insert(o, c.dst))
		c.dst = -1
	}
	return nil
}

// unlinkFlag is what unlinkat(2) wants to be told of the type.
func (o *object) unlinkFlag() int {
	if o.isDir() {
		return unix.AT_REMOVEDIR
	}
	return 0
}

// newName is a name that work has not.
func (u *Union) newName() string {
	u.serial++
	return strconv.Itoa(u.serial)
}

// copyTo makes a copy of an object.
func (c *copier) copyTo(work int, tmp string, o *object, empty bool) error {
	return c.u.to(o, func(dir int, name string, _ int) error {
		c.dir, c.name = dir, name
		c.from, c.to = strconv.Itoa(dir)+"/"+name, strconv.Itoa(work)+"/"+tmp
		if err := c.create(work, tmp, o, empty); err != nil {
			return err
		}
		if err := c.owner(); err != nil {
			return err
		}
		if err := c.xattrs(); err != nil { // after the owner, whose change takes capabilities away
			return err
		}
		if !o.isDir() && !o.hasNames(c.st) {
			origin := fmt.Appendf(nil, originFormat, o.key.dev, o.key.ino)
			if err := c.setNote(originNote, origin); err != nil {
				return err
			}
		}
		if text := protattr(o.protected); text != "" {
			if err := c.setNote("protattr", []byte(text)); err != nil {
				return err
			}
		}
		return c.times()
	})
}

// install moves the copy to where it belongs, and has the object be there.
func (u *Union) install(work int, tmp string, o *object, c *copier) error {
	st := c.st
	var made unix.Statx_t
	if err := c.stat(&made); err != nil {
		return err
	}
	switch {
	case o.hasNames(st):
		// The index has it for good, and its names in upper are links to that.
		err := u.in(&u.index, func(index int) error { return unix.Renameat(work, tmp, index, tmp) })
		if err != nil {
			return err
		}
		s := u.share(o, st)
		s.upper, s.key = &place{&u.index, tmp}, keyOf(&made)
		u.copies[s.key] = o.key
		o.upper = o.shared.upper
		if o.parent != nil {
			if err := u.linkUp(o, o.parent, o.name); err != nil {
				return err
			}
		}
	case o.parent == nil: // it is only open
		fd, err := unix.Openat(work, tmp, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(work, tmp, o.unlinkFlag()); err != nil {
			unix.Close(fd)
			return err
		}
		o.orphan = fd
	default:
		err := u.unchanged(o.parent, func(dir int) error { return unix.Renameat(work, tmp, dir, o.name) })
		if err != nil {
			return err
		}
		o.upper = &place{o.parent.upper, o.name}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	o.upperKey = keyOf(&made)
	u.byFile[o.upperKey] = o
	return nil
}

// hasNames reports whether a file of a lower directory has, or had, several names.
func (o *object) hasNames(st *unix.Statx_t) bool {
	return !o.isDir() && (o.shared != nil || st.Nlink > 1)
}

// share returns the record of a file's names.
func (u *Union) share(o *object, st *unix.Statx_t) *shared {
	if o.shared == nil {
		o.shared = &shared{names: st.Nlink}
		u.shared[o.key] = o.shared
	}
	return o.shared
}

// linkUp gives a shared file one of its names in upper, too.
func (u *Union) linkUp(o, parent *object, name string) error {
	if o.shared == nil || o.shared.upper == nil {
		return nil
	}
	return u.at(o.shared.upper, func(index int, base string) error {
		return u.unchanged(parent, func(dir int) error {
			err := unix.Linkat(index, base, dir, name, 0)
			if err == unix.EEXIST {
				return nil
			}
			return err
		})
	})
}

// unchanged does something to a directory in upper that leaves it the time it has.
func (u *Union) unchanged(parent *object, do func(dir int) error) error {
	return u.in(parent.upper, func(dir int) error {
		var st unix.Statx_t
		if err := statx(dir, "", unix.AT_EMPTY_PATH, &st); err != nil {
			return err
		}
		if err := do(dir); err != nil {
			return err
		}
		return setTimes(dir, ".", 0, &st)
	})
}

func setTimes(dir int, name string, flags int, st *unix.Statx_t) error {
	return unix.UtimesNanoAt(dir, name, timesOf(st), flags)
}

func timesOf(st *unix.Statx_t) []unix.Timespec {
	return []unix.Timespec{
		{Sec: st.Atime.Sec, Nsec: int64(st.Atime.Nsec)},
		{Sec: st.Mtime.Sec, Nsec: int64(st.Mtime.Nsec)},
	}
}

// A copier copies one file; from and to are relative paths, not to be followed at
// their end, for calls that take no directory. Regular files and directories are open,
// which is shorter.
type copier struct {
	u        *Union
	dir      int // in which name is the file
	name     string
	from, to string
	src, dst int // or -1
	st       *unix.Statx_t
}

func (c *copier) close() {
	for _, fd := range []int{c.src, c.dst} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// create makes the copy, with its mode and content.
func (c *copier) create(dir int, name string, o *object, empty bool) (err error) {
	mode := uint32(c.st.Mode)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		if !empty {
			if c.dst, err = c.u.copied(o, dir, name, mode); err != nil {
				return err
			}
			empty = c.dst >= 0
		}
		if c.dst < 0 {
			c.dst, err = unix.Openat(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode&0o7777)
		}
		if err != nil {
			return err
		}
		return c.content(empty)
	case unix.S_IFDIR:
		if err := unix.Mkdirat(dir, name, mode&0o1777); err != nil {
			return err
		}
		if c.dst, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		return c.content(true)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlink(c.from, target)
		if err != nil {
			return err
		}
		return unix.Symlinkat(string(target[:n]), dir, name)
	}
	return unix.Mknodat(dir, name, mode, int(unix.Mkdev(c.st.Rdev_major, c.st.Rdev_minor)))
}

// content copies the bytes of a file, and the inode flags that overlayfs copies, of a
// directory too: synchronous and no access time (overlayfs.h, OVL_COPY_FS_FLAGS_MASK).
func (c *copier) content(empty bool) (err error) {
	c.src, err = unix.Openat(c.dir, c.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	const copied = flagSync | flagNoAtime
	if flags, err := unix.IoctlGetInt(c.src, unix.FS_IOC_GETFLAGS); err == nil && flags&copied != 0 {
		if err := changeFlags(c.dst, copied, flags); err != nil {
			return err
		}
	}
	if empty {
		return nil
	}
	if size := c.st.Size; size <= small && c.st.Blocks*512 >= size { // without holes
		return copySmall(c.dst, c.src, int(size))
	}
	return CopyData(c.dst, c.src, int64(c.st.Size))
}

// small is how long a file may be to be read at once.
const small = 64 << 10

func copySmall(to, from, size int) error {
	buf := make([]byte, size)
	n, err := unix.Pread(from, buf, 0)
	if err != nil {
		return err
	}
	_, err = writeAll(to, buf[:n], 0)
	return err
}

// CopyData copies the bytes of a file of a known size, but for its holes, to an empty
// one.
func CopyData(to, from int, size int64) error {
	for at := int64(0); at < size; {
		data, err := unix.Seek(from, at, unix.SEEK_DATA)
		switch {
		case err == unix.ENXIO:
			return unix.Ftruncate(to, size)
		case err == unix.EINVAL: // a file system without holes
			data = at
		case err != nil:
			return err
		}
		hole, err := unix.Seek(from, data, unix.SEEK_HOLE)
		if err != nil {
			hole = size
		}
		if err := copyRange(to, from, data, hole); err != nil {
			return err
		}
		at = hole
	}
	return unix.Ftruncate(to, size)
}

// copyRange copies the bytes of [at, end), of which there may be fewer.
func copyRange(to, from int, at, end int64) error {
	inKernel := true
	var buf []byte
	for at < end {
		n, err := 0, error(nil)
		if inKernel {
			in, out := at, at
			n, err = unix.CopyFileRange(from, &in, to, &out, int(min(end-at, 1<<30)), 0)
			if inKernel = err == nil && n > 0; inKernel {
				at += int64(n)
				continue
			}
			buf = make([]byte, 1<<20)
		}
		n, err = unix.Pread(from, buf[:min(int64(len(buf)), end-at)], at)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		if _, err := writeAll(to, buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

func writeAll(fd int, b []byte, at int64) (written int, err error) {
	for written < len(b) {
		n, err := unix.Pwrite(fd, b[written:], at+int64(written))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return written, err
		case n == 0:
			return written, io.ErrShortWrite
		}
		written += n
	}
	return written, nil
}

// owner sets the owner, and back the bits that this takes, or that mkdir(2) does not
// give.
func (c *copier) owner() error {
	mode := uint32(c.st.Mode)
	if c.st.Uid != 0 || c.st.Gid != 0 {
		chown := func() error { return unix.Lchown(c.to, int(c.st.Uid), int(c.st.Gid)) }
		if c.dst >= 0 {
			chown = func() error { return unix.Fchown(c.dst, int(c.st.Uid), int(c.st.Gid)) }
		}
		if err := chown(); err != nil {
			return err
		}
	}
	if mode&(unix.S_ISUID|unix.S_ISGID) == 0 || mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	return unix.Chmod(c.to, mode&0o7777)
}

func (c *copier) times() error {
	if c.dst < 0 {
		return setTimes(unix.AT_FDCWD, c.to, unix.AT_SYMLINK_NOFOLLOW, c.st)
	}
	times := timesOf(c.st)
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(c.dst), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (c *copier) stat(st *unix.Statx_t) error {
	if c.dst >= 0 {
		return statx(c.dst, "", unix.AT_EMPTY_PATH, st)
	}
	return statx(unix.AT_FDCWD, c.to, 0, st)
}

// xattrs copies all attributes but the notes of an overlay that lower may itself be a
// layer of.
func (c *copier) xattrs() error {
	names, err := sized(func(buf []byte) (int, error) {
		if c.src >= 0 {
			return unix.Flistxattr(c.src, buf)
		}
		return unix.Llistxattr(c.from, buf)
	})
	if err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name == "" || c.u.shown(name) == "" {
			continue
		}
		value, err := sized(func(buf []byte) (int, error) { return unix.Lgetxattr(c.from, name, buf) })
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		if err := unix.Lsetxattr(c.to, name, value, 0); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// setNote sets an attribute in which an overlay notes something. What is neither file
// nor directory can have none that begins with "user." (xattr(7)).
func (c *copier) setNote(name string, value []byte) error {
	if c.dst >= 0 {
		return unix.Fsetxattr(c.dst, c.u.opt.Private+name, value, 0)
	}
	err := unix.Lsetxattr(c.to, c.u.opt.Private+name, value, 0)
	if err == unix.EPERM && strings.HasPrefix(c.u.opt.Private, "user.") {
		return nil
	}
	return err
}
