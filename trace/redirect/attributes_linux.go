//go:build linux && amd64

package redirect

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A target is a staged file whose attributes are to change.
type target struct {
	host   string
	follow int // 0 if the host path is a descriptor's, else AT_SYMLINK_NOFOLLOW
	st     unix.Stat_t
}

// isDevice reports whether a file is one in place of a device.
func (v *view) isDevice(x *target) bool {
	f := v.faces[keyOf(&x.st)]
	return f != nil && f.mode&unix.S_IFMT != x.st.Mode&unix.S_IFMT
}

// target stages the file of a path, or of the descriptor if there is no path. What is
// not to be done by us has another outcome. What is the machine's stays as it is, and who
// is root to himself is told that he could change it.
func (t *thread) target(dir, name int, flags uint64) (*target, outcome) {
	if name == noFD || t.isEmpty(name, flags) {
		return t.targetOf(t.fd(dir))
	}
	p, err := t.found(dir, name, flags&unix.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return nil, fail(err)
	}
	switch {
	case isMagic(p.path):
		return t.targetAt(p.path)
	case isMachine(p.path):
		return nil, answer(0)
	case isLive(p.path):
		return nil, t.lead(name, &p)
	}
	if err := t.stage(&p, true); err != nil {
		return nil, fail(err)
	}
	return &target{t.host(&p), unix.AT_SYMLINK_NOFOLLOW, p.st}, pass
}

func (t *thread) targetOf(fd int) (*target, outcome) { return t.targetAt(t.proc(fd)) }

// targetAt stages the file of a descriptor that is seen in /proc. One that is no
// longer in the view is as good as changed.
func (t *thread) targetAt(link string) (*target, outcome) {
	text, err := os.Readlink(link)
	if err != nil {
		return nil, pass // EBADF
	}
	x := &target{host: link}
	if err := unix.Stat(link, &x.st); err != nil {
		return nil, fail(err)
	}
	switch {
	case t.inside(text) != text:
		return x, pass
	case isMachine(text):
		return nil, answer(0)
	case !strings.HasPrefix(text, "/"), isLive(text):
		return nil, pass
	}
	w := walk{view: t.view, tid: t.tid}
	p, err := w.resolve(place{}, text, false)
	switch {
	case err != nil, !p.exists():
		return nil, answer(0)
	case !p.staged && keyOf(&p.st) == keyOf(&x.st):
		if err := t.stage(&p, true); err != nil {
			return nil, fail(err)
		}
	case !p.staged, t.face(&p) == nil, t.face(&p).from != keyOf(&x.st):
		return nil, answer(0)
	}
	return &target{t.host(&p), unix.AT_SYMLINK_NOFOLLOW, p.st}, pass
}

func (t *thread) chmod(dir, name, mode int, flags uint64) outcome {
	x, out := t.target(dir, name, flags)
	if x == nil {
		return out
	}
	if x.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fail(unix.EOPNOTSUPP)
	}
	f := t.faceOf(&x.st)
	want := f.mode&unix.S_IFMT | uint32(t.arg(mode))&0o7777
	if err := unix.Chmod(x.host, loose(x.st.Mode&unix.S_IFMT|want&0o7777)); err != nil {
		return fail(err)
	}
	f.mode = want
	return answer(0)
}

// chown believes who the owner is to be, and clears what chown(2) clears.
func (t *thread) chown(dir, name, ids int, flags uint64) outcome {
	x, out := t.target(dir, name, flags)
	if x == nil {
		return out
	}
	f := t.faceOf(&x.st)
	if uid := uint32(t.arg(ids)); uid != ^uint32(0) {
		f.uid = uid
	}
	if gid := uint32(t.arg(ids + 1)); gid != ^uint32(0) {
		f.gid = gid
	}
	if x.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return answer(0)
	}
	f.mode &^= unix.S_ISUID
	if f.mode&0o010 != 0 {
		f.mode &^= unix.S_ISGID
	}
	delete(f.xattr, "security.capability")
	_ = unix.Removexattr(x.host, "security.capability") // hardly one has it, and only root may
	return result(unix.Chmod(x.host, loose(x.st.Mode&unix.S_IFMT|f.mode&0o7777)))
}

// A timeUnit is what a call counts time in below seconds.
type timeUnit int

const (
	seconds timeUnit = iota
	microseconds
	nanoseconds
)

func (t *thread) utimens(dir, name, times int, flags uint64, unit timeUnit) outcome {
	var ts []unix.Timespec
	if address := t.arg(times); address != 0 {
		ts = make([]unix.Timespec, 2)
		for i := range ts {
			var err error
			if unit == seconds {
				var sec int64
				err = t.peek(address+8*uint64(i), bytesOf(&sec))
				ts[i].Sec = sec
			} else {
				err = t.peek(address+16*uint64(i), bytesOf(&ts[i]))
			}
			if err != nil {
				return fail(err)
			}
			if unit == microseconds {
				if ts[i].Nsec < 0 || ts[i].Nsec >= 1e6 {
					return fail(unix.EINVAL)
				}
				ts[i].Nsec *= 1000
			}
		}
	}
	if name != noFD && t.arg(name) == 0 { // utimensat(2): the descriptor itself
		flags |= unix.AT_EMPTY_PATH
	}
	x, out := t.target(dir, name, flags)
	if x == nil {
		return out
	}
	return result(unix.UtimesNanoAt(unix.AT_FDCWD, x.host, ts, x.follow))
}

func (t *thread) truncate() outcome {
	x, out := t.target(noFD, 0, 0)
	if x == nil {
		return out
	}
	if t.isDevice(x) {
		return fail(unix.EINVAL)
	}
	return result(unix.Truncate(x.host, int64(t.arg(1))))
}

const (
	maxXattrName  = 256     // XATTR_NAME_MAX of linux/limits.h, and the NUL
	maxXattrValue = 1 << 16 // XATTR_SIZE_MAX
)

func (t *thread) setxattr(dir, name int, flags uint64) outcome {
	attr, err := t.text(t.arg(1), maxXattrName)
	size := t.arg(3)
	if err == nil && size > maxXattrValue {
		err = unix.E2BIG
	}
	if err != nil {
		return fail(err)
	}
	value := make([]byte, size)
	if err := t.peek(t.arg(2), value); err != nil {
		return fail(err)
	}
	x, out := t.target(dir, name, flags)
	if x == nil {
		return out
	}
	if t.isDevice(x) && strings.HasPrefix(attr, "user.") { // xattr(7)
		return fail(unix.EPERM)
	}
	if x.follow == 0 {
		err = unix.Setxattr(x.host, attr, value, int(t.arg(4)))
	} else {
		err = unix.Lsetxattr(x.host, attr, value, int(t.arg(4)))
	}
	if err != nil || attr != accessACL {
		return result(err)
	}
	return result(t.loosen(x))
}

// accessACL is the attribute that sets the mode, too (acl(5)).
const accessACL = "system.posix_acl_access"

// loosen keeps the permissions that a file has just got, and loosens its own.
func (t *thread) loosen(x *target) error {
	var st unix.Stat_t
	if err := unix.Stat(x.host, &st); err != nil {
		return err
	}
	f := t.faceOf(&st)
	f.mode = f.mode&^0o777 | st.Mode&0o777
	if loose(st.Mode) == st.Mode&0o7777 {
		return nil
	}
	return unix.Chmod(x.host, loose(st.Mode))
}

func (t *thread) removexattr(dir, name int, flags uint64) outcome {
	attr, err := t.text(t.arg(1), maxXattrName)
	if err != nil {
		return fail(err)
	}
	x, out := t.target(dir, name, flags)
	if x == nil {
		return out
	}
	if t.isDevice(x) && strings.HasPrefix(attr, "user.") {
		return fail(unix.EPERM)
	}
	if f := t.faces[keyOf(&x.st)]; f != nil {
		if _, ok := f.xattr[attr]; ok {
			delete(f.xattr, attr)
			return answer(0)
		}
	}
	if x.follow == 0 {
		return result(unix.Removexattr(x.host, attr))
	}
	return result(unix.Lremovexattr(x.host, attr))
}

// fsIocFsSetXattr is FS_IOC_FSSETXATTR of linux/fs.h, which x/sys does not have.
const fsIocFsSetXattr = 0x401c5820

// ioctl sets inode flags.
func (t *thread) ioctl() outcome {
	x, out := t.targetOf(t.fd(0))
	switch {
	case x == nil:
		return out
	case x.follow == 0:
		return pass
	case uint32(t.arg(1)) == fsIocFsSetXattr:
		return fail(unix.ENOTTY)
	}
	var flags uint32
	if err := t.peek(t.arg(2), bytesOf(&flags)); err != nil {
		return fail(err)
	}
	fd, err := unix.Open(x.host, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fd)
	return result(unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags)))
}
