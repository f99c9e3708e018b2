//go:build linux && amd64

package redirect

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// proc is where a descriptor of the thread is seen, or its working directory.
func (t *thread) proc(fd int) string {
	if fd == unix.AT_FDCWD {
		return fmt.Sprintf("/proc/%d/cwd", t.tid)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", t.tid, fd)
}

// dir is the place of a directory descriptor.
func (t *thread) dir(fd int) (place, error) {
	link := t.proc(fd)
	text, err := os.Readlink(link)
	if err != nil {
		if fd != unix.AT_FDCWD && errnoOf(err) == unix.ENOENT {
			err = unix.EBADF
		}
		return place{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(link, &st); err != nil {
		return place{}, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return place{}, unix.ENOTDIR
	case st.Nlink == 0, strings.HasSuffix(text, " (deleted)") && !leadsTo(text, &st):
		return place{}, unix.ENOENT
	}
	p := t.directory(text)
	p.other = p.path != text
	return p, nil
}

// leadsTo reports whether a host path is that of a file.
func leadsTo(host string, st *unix.Stat_t) bool {
	var there unix.Stat_t
	return unix.Lstat(host, &there) == nil && keyOf(&there) == keyOf(st)
}

// place resolves a path that is an argument, relative to the descriptor that is
// another one.
func (t *thread) place(dir, name int, follow bool) (place, string, error) {
	text, err := t.text(t.arg(name), unix.PathMax)
	if err != nil {
		return place{}, text, err
	}
	p, err := t.resolve(dir, text, follow)
	return p, text, err
}

// nameAt resolves a path whose last name is to come or go: that is followed nowhere,
// not even with a slash after it.
func (t *thread) nameAt(dir, name int) (place, string, error) {
	text, err := t.text(t.arg(name), unix.PathMax)
	if err != nil {
		return place{}, text, err
	}
	last := strings.TrimRight(text, "/")
	if last == "" {
		last = text
	}
	p, err := t.resolve(dir, last, false)
	return p, text, err
}

func (t *thread) resolve(dir int, text string, follow bool) (place, error) {
	if text == "" {
		return place{}, unix.ENOENT
	}
	var from place
	var err error
	if text[0] != '/' {
		fd := unix.AT_FDCWD
		if dir != noFD {
			fd = t.fd(dir)
		}
		if from, err = t.dir(fd); err != nil {
			return place{}, err
		}
	}
	w := walk{view: t.view, tid: t.tid}
	return w.resolve(from, text, follow)
}

// lead has the kernel do the call at a place.
func (t *thread) lead(n int, p *place) outcome {
	if !p.staged && !p.other {
		return pass
	}
	return t.with(n, t.host(p))
}

// found is place, of a file that is there.
func (t *thread) found(dir, name int, follow bool) (place, error) {
	p, _, err := t.place(dir, name, follow)
	if err == nil && !p.exists() {
		err = unix.ENOENT
	}
	return p, err
}

// isTrue reports whether what the kernel tells of a place is what the command is to
// be told.
func (t *thread) isTrue(p *place) bool {
	return isLive(p.path) || !p.staged && !p.other && t.isShown(&p.st)
}

// look leads a call that changes nothing.
func (t *thread) look(dir, name int, follow bool) outcome {
	p, err := t.found(dir, name, follow)
	if err != nil {
		return fail(err)
	}
	return t.lead(name, &p)
}

// isEmpty reports whether a call means the descriptor itself.
func (t *thread) isEmpty(name int, flags uint64) bool {
	if flags&unix.AT_EMPTY_PATH == 0 {
		return false
	}
	if name == noFD || t.arg(name) == 0 {
		return true
	}
	first := []byte{1}
	return t.peek(t.arg(name), first) == nil && first[0] == 0
}

func (t *thread) stat(dir, name, buf int, flags uint64) outcome {
	if t.isEmpty(name, flags) {
		return t.fstat(t.fd(dir), t.arg(buf))
	}
	p, err := t.found(dir, name, flags&unix.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return fail(err)
	}
	if t.isTrue(&p) {
		return t.lead(name, &p)
	}
	return t.tell(&p.st, t.arg(buf))
}

func (t *thread) fstat(fd int, buf uint64) outcome {
	var st unix.Stat_t
	if unix.Stat(t.proc(fd), &st) != nil || t.isShown(&st) {
		return pass
	}
	return t.tell(&st, buf)
}

// tell answers a stat(2); unix.Stat_t is what the kernel writes.
func (t *thread) tell(st *unix.Stat_t, buf uint64) outcome {
	shown := *st
	t.show(&shown)
	return result(t.poke(buf, bytesOf(&shown)))
}

// atStatxSyncType is AT_STATX_SYNC_TYPE of linux/fcntl.h.
const atStatxSyncType = 0x6000

func (t *thread) statx() outcome {
	const name, flags, mask, buf = 1, 2, 3, 4
	host, follow := t.proc(t.fd(0)), 0
	if !t.isEmpty(name, t.arg(flags)) {
		p, err := t.found(0, name, t.arg(flags)&unix.AT_SYMLINK_NOFOLLOW == 0)
		if err != nil {
			return fail(err)
		}
		if t.isTrue(&p) {
			return t.lead(name, &p)
		}
		host, follow = t.host(&p), unix.AT_SYMLINK_NOFOLLOW
	}
	var stx unix.Statx_t
	how := int(t.arg(flags))&atStatxSyncType | follow
	if err := unix.Statx(unix.AT_FDCWD, host, how, int(t.arg(mask)), &stx); err != nil {
		return pass
	}
	st := unix.Stat_t{
		Dev: unix.Mkdev(stx.Dev_major, stx.Dev_minor), Ino: stx.Ino, Nlink: uint64(stx.Nlink), Mode: uint32(stx.Mode),
		Uid: stx.Uid, Gid: stx.Gid, Rdev: unix.Mkdev(stx.Rdev_major, stx.Rdev_minor),
	}
	t.show(&st)
	stx.Dev_major, stx.Dev_minor, stx.Ino, stx.Mode = unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino, uint16(st.Mode)
	stx.Uid, stx.Gid, stx.Rdev_major, stx.Rdev_minor = st.Uid, st.Gid, unix.Major(st.Rdev), unix.Minor(st.Rdev)
	return result(t.poke(t.arg(buf), bytesOf(&stx)))
}

// access answers as to root, who may do all but execute what nobody may.
func (t *thread) access(dir, name, mode int, flags uint64) outcome {
	if t.isEmpty(name, flags) {
		return pass
	}
	p, err := t.found(dir, name, flags&unix.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return fail(err)
	}
	if isLive(p.path) {
		return t.lead(name, &p)
	}
	shown := p.st
	t.show(&shown)
	if t.arg(mode)&unix.X_OK != 0 && !p.is(unix.S_IFDIR) && shown.Mode&0o111 == 0 {
		return fail(unix.EACCES)
	}
	if t.arg(mode)&unix.R_OK != 0 && !p.is(unix.S_IFLNK) {
		return result(unix.Access(t.host(&p), unix.R_OK))
	}
	return answer(0)
}

func (t *thread) readlink(dir, name int) outcome {
	if dir != noFD && t.isEmpty(name, unix.AT_EMPTY_PATH) {
		return pass
	}
	p, err := t.found(dir, name, false)
	if err != nil {
		return fail(err)
	}
	if !isMagic(p.path) || !p.is(unix.S_IFLNK) {
		return t.lead(name, &p)
	}
	text, err := os.Readlink(p.path)
	if err != nil {
		return fail(err)
	}
	text = t.inside(text)
	if size := int32(t.arg(name + 2)); size <= 0 {
		return fail(unix.EINVAL)
	} else if len(text) > int(size) {
		text = text[:size]
	}
	if err := t.poke(t.arg(name+1), []byte(text)); err != nil {
		return fail(err)
	}
	return answer(int64(len(text)))
}

func (t *thread) getcwd() outcome {
	p, err := t.dir(unix.AT_FDCWD)
	if err != nil {
		return fail(err)
	}
	text := append([]byte(p.path), 0)
	if uint64(len(text)) > t.arg(1) {
		return fail(unix.ERANGE)
	}
	if err := t.poke(t.arg(0), text); err != nil {
		return fail(err)
	}
	return answer(int64(len(text)))
}

func (t *thread) openat2() outcome {
	var how unix.OpenHow
	if t.arg(3) < uint64(len(bytesOf(&how))) {
		return fail(unix.EINVAL)
	}
	if err := t.peek(t.arg(2), bytesOf(&how)); err != nil {
		return fail(err)
	}
	if how.Resolve != 0 { // these rules are not ours
		return fail(unix.ENOSYS)
	}
	out := t.open(0, 1, how.Flags)
	if out.regs != nil {
		out.regs.Orig_rax, out.regs.Rax = unix.SYS_OPENAT, unix.SYS_OPENAT
		out.regs.Rdx, out.regs.R10 = how.Flags, how.Mode
	}
	return out
}

func (t *thread) open(dir, name int, flags uint64) outcome {
	has := func(f uint64) bool { return flags&f == f }
	create := has(unix.O_CREAT) && !has(unix.O_PATH)
	p, text, err := t.place(dir, name, !has(unix.O_NOFOLLOW) && !(create && has(unix.O_EXCL)))
	switch {
	case err != nil:
		return fail(err)
	case isMachine(p.path) && !has(unix.O_PATH) && (flags&(unix.O_ACCMODE|unix.O_TRUNC) != 0 || create && !p.exists()):
		if p.is(unix.S_IFCHR) || p.is(unix.S_IFIFO) {
			return t.lead(name, &p)
		}
		return fail(unix.EROFS)
	case isLive(p.path), has(unix.O_PATH) && p.exists():
		return t.lead(name, &p)
	case !p.exists() && !create:
		return fail(unix.ENOENT)
	case !p.exists() && strings.HasSuffix(text, "/"):
		return fail(unix.EISDIR)
	case has(unix.O_TMPFILE):
		if err := t.stage(&p, true); err != nil {
			return fail(err)
		}
		out := t.lead(name, &p)
		out.leave = func(fd int64) {
			if fd >= 0 {
				t.check(t.made(t.proc(int(fd)), p.path))
			}
		}
		return out
	case !p.exists():
		return t.create(name, &p)
	case create && has(unix.O_EXCL):
		return fail(unix.EEXIST)
	case flags&(unix.O_ACCMODE|unix.O_TRUNC) != 0 && p.is(unix.S_IFREG), p.is(unix.S_IFIFO): // both ends of a fifo
		if err := t.stage(&p, !has(unix.O_TRUNC)); err != nil {
			return fail(err)
		}
	}
	return t.lead(name, &p)
}

// create has the kernel make a name.
func (t *thread) create(name int, p *place) outcome {
	dir := path.Dir(p.path)
	if err := t.raise(dir); err != nil {
		return fail(err)
	}
	p.staged = true
	out := t.lead(name, p)
	out.leave = func(fd int64) {
		if fd >= 0 {
			t.check(t.made(t.host(p), dir))
		}
	}
	return out
}

// check keeps an error that there is nobody to tell of. What is made may be gone
// again, by another thread.
func (t *thread) check(err error) {
	if err != nil && errnoOf(err) != unix.ENOENT && t.bug == nil {
		t.bug = err
	}
}
