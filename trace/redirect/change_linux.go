//go:build linux && amd64

package redirect

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// umask reads the thread's file mode creation mask.
func (t *thread) umask() (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", t.tid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var mask int
		if n, _ := fmt.Sscanf(lines.Text(), "Umask: %o", &mask); n == 1 {
			return mask, nil
		}
	}
	return 0, unix.EIO
}

// errLive says that a name is to be made where nothing is staged.
var errLive = errors.New("it is the kernel's to make")

// newName prepares a directory for a name that is not there.
func (t *thread) newName(dir, name int) (place, error) {
	p, text, err := t.nameAt(dir, name)
	switch {
	case err != nil:
		return p, err
	case p.exists():
		return p, unix.EEXIST
	case isMachine(p.path):
		return p, unix.EROFS
	case isLive(p.path):
		return p, errLive
	case strings.Trim(text, "/") == "":
		return p, unix.EEXIST
	}
	p.staged = true
	return p, t.raise(path.Dir(p.path))
}

// make makes a name, by a call under the thread's umask.
func (t *thread) make(dir, name int, call func(host string) error) outcome {
	p, err := t.newName(dir, name)
	if err == errLive {
		return t.lead(name, &p)
	}
	if err != nil {
		return fail(err)
	}
	mask, err := t.umask()
	if err != nil {
		return fail(err)
	}
	unix.Umask(mask)
	err = call(t.host(&p))
	unix.Umask(0)
	if err != nil {
		return fail(err)
	}
	return result(t.made(t.host(&p), path.Dir(p.path)))
}

func (t *thread) mkdir(dir, name int, mode uint64) outcome {
	return t.make(dir, name, func(host string) error { return unix.Mkdir(host, uint32(mode)&0o1777) })
}

// mknod makes an empty file with a face in place of a device.
func (t *thread) mknod(dir, name int, mode, device uint64) outcome {
	typ := uint32(mode) & unix.S_IFMT
	if typ != unix.S_IFCHR && typ != unix.S_IFBLK {
		return t.make(dir, name, func(host string) error { return unix.Mknod(host, uint32(mode), 0) })
	}
	var made string
	out := t.make(dir, name, func(host string) error {
		made = host
		return unix.Mknod(host, unix.S_IFREG|uint32(mode)&0o7777, 0)
	})
	if made == "" || out.err != nil {
		return out
	}
	var st unix.Stat_t
	if err := unix.Lstat(made, &st); err != nil {
		return fail(err)
	}
	f := t.faceOf(&st)
	f.mode, f.rdev = typ|f.mode&0o7777, device
	return out
}

func (t *thread) symlink(target, dir, name int) outcome {
	text, err := t.text(t.arg(target), unix.PathMax)
	if err != nil {
		return fail(err)
	}
	return t.make(dir, name, func(host string) error { return unix.Symlink(text, host) })
}

// among has the kernel do a call with two paths where nothing is staged. POSIX
// semaphores are made so, in /dev/shm.
func (t *thread) among(from, to *place) outcome {
	switch {
	case !isLive(from.path) || !isLive(to.path) || from.other || to.other:
		return fail(unix.EXDEV)
	case isMachine(from.path) || isMachine(to.path):
		return fail(unix.EROFS)
	}
	return pass
}

// link makes another name; args are those of linkat(2).
func (t *thread) link(args [4]int, flags uint64) outcome {
	var old place
	empty := t.isEmpty(args[1], flags)
	if !empty {
		var err error
		if old, _, err = t.place(args[0], args[1], flags&unix.AT_SYMLINK_FOLLOW != 0); err != nil {
			return fail(err)
		}
		if !old.exists() {
			return fail(unix.ENOENT)
		}
	}
	p, err := t.newName(args[2], args[3])
	if err == errLive {
		return t.among(&old, &p)
	}
	if err != nil {
		return fail(err)
	}
	var host string
	follow := 0
	switch {
	case empty:
		x, out := t.targetOf(t.fd(args[0])) // not a name for what the root has
		switch {
		case out.err != nil:
			return out
		case x == nil:
			return fail(unix.EXDEV)
		case x.follow == 0:
			follow = unix.AT_SYMLINK_FOLLOW
		}
		host = x.host
	case old.is(unix.S_IFDIR):
		return fail(unix.EPERM)
	case isMagic(old.path): // a file without a name
		host, follow = old.path, unix.AT_SYMLINK_FOLLOW
	case isLive(old.path):
		return fail(unix.EXDEV)
	default:
		if err := t.stage(&old, true); err != nil {
			return fail(err)
		}
		host = t.host(&old)
	}
	return result(unix.Linkat(unix.AT_FDCWD, host, unix.AT_FDCWD, t.host(&p), follow))
}

func (t *thread) unlink(dir, name int, flags uint64) outcome {
	p, text, err := t.nameAt(dir, name)
	if err != nil {
		return fail(err)
	}
	isDir := p.is(unix.S_IFDIR)
	last := path.Base(text)
	switch {
	case !p.exists():
		return fail(unix.ENOENT)
	case isMachine(p.path):
		return fail(unix.EROFS)
	case isLive(p.path):
		return t.lead(name, &p)
	case flags&unix.AT_REMOVEDIR == 0 && isDir:
		return fail(unix.EISDIR)
	case (flags&unix.AT_REMOVEDIR != 0 || strings.HasSuffix(text, "/")) && !isDir:
		return fail(unix.ENOTDIR)
	case last == "." || strings.HasSuffix(text, "/."):
		return fail(unix.EINVAL)
	case last == "..":
		return fail(unix.ENOTEMPTY)
	case p.path == "/":
		return fail(unix.EBUSY)
	case isDir:
		err = t.raise(p.path)
	default:
		err = t.raise(path.Dir(p.path))
	}
	if err != nil {
		return fail(err)
	}
	var st unix.Stat_t
	host := t.staged(p.path)
	if err := unix.Lstat(host, &st); err != nil {
		return fail(err)
	}
	if err := unix.Unlinkat(unix.AT_FDCWD, host, int(flags)); err != nil {
		return fail(err)
	}
	t.forget(&st)
	return answer(0)
}

// rename moves what is in the staging tree, or is copied there. Args are those of
// renameat(2).
func (t *thread) rename(args [4]int, flags uint64) outcome {
	from, fromText, err := t.nameAt(args[0], args[1])
	if err != nil {
		return fail(err)
	}
	to, toText, err := t.nameAt(args[2], args[3])
	if err != nil {
		return fail(err)
	}
	for _, text := range []string{fromText, toText} {
		if base := path.Base(text); base == "." || base == ".." || strings.HasSuffix(text, "/.") {
			return fail(unix.EBUSY)
		}
	}
	exchange := flags&unix.RENAME_EXCHANGE != 0
	switch {
	case flags&^(unix.RENAME_EXCHANGE|unix.RENAME_NOREPLACE) != 0:
		return fail(unix.EINVAL)
	case !from.exists(), exchange && !to.exists():
		return fail(unix.ENOENT)
	case flags&unix.RENAME_NOREPLACE != 0 && to.exists():
		return fail(unix.EEXIST)
	case isLive(from.path) || isLive(to.path):
		return t.among(&from, &to)
	case strings.HasSuffix(fromText, "/") && !from.is(unix.S_IFDIR),
		strings.HasSuffix(toText, "/") && !from.is(unix.S_IFDIR) && !exchange,
		strings.HasSuffix(toText, "/") && !to.is(unix.S_IFDIR) && exchange:
		return fail(unix.ENOTDIR)
	case from.path == to.path:
		return answer(0)
	case !exchange && to.exists() && from.is(unix.S_IFDIR) && !to.is(unix.S_IFDIR):
		return fail(unix.ENOTDIR)
	case !exchange && to.is(unix.S_IFDIR) && !from.is(unix.S_IFDIR):
		return fail(unix.EISDIR)
	case from.is(unix.S_IFDIR) && t.isOld(&from), exchange && to.is(unix.S_IFDIR) && t.isOld(&to):
		return fail(unix.EXDEV)
	}
	if err := t.stage(&from, true); err != nil {
		return fail(err)
	}
	switch {
	case exchange, to.is(unix.S_IFDIR): // whose stubs are in the way of a rename
		err = t.stage(&to, true)
	default:
		err = t.raise(path.Dir(to.path))
	}
	if err != nil {
		return fail(err)
	}
	var over unix.Stat_t
	host := t.staged(to.path)
	if err := unix.Lstat(host, &over); err != nil && err != unix.ENOENT {
		return fail(err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, t.host(&from), unix.AT_FDCWD, host, uint(flags)); err != nil {
		return fail(err)
	}
	if over.Mode != 0 && !exchange && keyOf(&over) != keyOf(&from.st) {
		t.forget(&over)
	}
	return answer(0)
}

// socket has the kernel bind or connect a socket of the view. Its address takes less
// than a path may be long, so that it goes by a symlink to the directory.
func (t *thread) socket(bind bool) outcome {
	var address [unix.SizeofSockaddrUnix]byte
	size := min(int(int32(t.arg(2))), len(address))
	if size < 3 || t.peek(t.arg(1), address[:size]) != nil || address[0] != unix.AF_UNIX || address[1] != 0 || address[2] == 0 {
		return pass
	}
	if t.room == 0 {
		t.wantsIt = true
		return pass
	}
	name, _, _ := strings.Cut(string(address[2:size]), "\x00")
	var from place
	var err error
	if name[0] != '/' {
		if from, err = t.dir(unix.AT_FDCWD); err != nil {
			return fail(err)
		}
	}
	w := walk{view: t.view, tid: t.tid}
	p, err := w.resolve(from, name, !bind)
	dir := path.Dir(p.path)
	switch {
	case err != nil:
		return fail(err)
	case isLive(p.path) && !p.other, p.exists() && !p.staged && !p.other && !bind:
		return pass
	case bind && p.exists():
		return fail(unix.EADDRINUSE)
	case !bind && !p.exists():
		return fail(unix.ENOENT)
	case bind && isLive(p.path):
		return fail(unix.EPERM)
	case bind:
		if err := t.raise(dir); err != nil {
			return fail(err)
		}
		p.staged = true
	}
	host := t.host(&p)
	link := fmt.Sprintf("%s/%d", t.work, t.tid)
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return fail(err)
	}
	if err := os.Symlink(path.Dir(host), link); err != nil {
		return fail(err)
	}
	short := append(append([]byte{unix.AF_UNIX, 0}, link+"/"+path.Base(host)...), 0)
	if len(short) > len(address) {
		return fail(unix.ENAMETOOLONG)
	}
	if err := t.poke(t.room+socketRoom, short); err != nil {
		return fail(err)
	}
	regs := t.regs
	regs.Rsi, regs.Rdx = t.room+socketRoom, uint64(len(short))
	return outcome{regs: &regs, leave: func(errno int64) {
		if bind && errno == 0 {
			t.check(t.made(host, dir))
		}
	}}
}
