package trace

import (
	"encoding/binary"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

type entry = plist.Entry

// A tracee is a thread that asks about a call.
type tracee struct {
	*recorder
	*view
	*call
	*question
}

func (t *tracee) dirfd(o operand) int32 {
	if o.dir < 0 {
		return unix.AT_FDCWD
	}
	return int32(t.args[o.dir])
}

// flagWord is the call's flags; 0 if it has none.
func (t *tracee) flagWord() uint64 {
	if t.call.flags < 0 {
		return 0
	}
	return t.args[t.call.flags]
}

// spot finds where an operand leads, without following its last component, but for
// a slash after it. It returns the path's text, too.
func (t *tracee) spot(n int) (spot, string, error) {
	o := t.operands[n]
	name, err := t.peekPath(t.question.tid, t.args[o.path])
	if err != nil {
		return spot{}, "", err
	}
	s, err := t.resolve(t.dirfd(o), name)
	return s, name, err
}

// at does something to the spot of an operand.
func (t *tracee) at(n int, do func(spot) error) error {
	s, _, err := t.spot(n)
	if err != nil {
		return err
	}
	defer s.close()
	return do(s)
}

// followed does something where a symlink leads. It does not close s.
func (t *tracee) followed(s spot, do func(spot) error) error {
	dir, err := openPath(s.dir, ".", 0)
	if err != nil {
		return err
	}
	to, err := t.follow(spot{dir, s.name})
	if err == errNameless {
		return nil // open, but without a name: a pipe, or known by its inode
	}
	if err != nil {
		return err
	}
	defer to.close()
	return do(to)
}

// open records what open(2) does with such flags.
func (t *tracee) open(flags uint64) error {
	s, name, err := t.spot(0)
	if err != nil {
		return err
	}
	defer s.close()
	return t.openSpot(s, name, flags)
}

func (t *tracee) openSpot(s spot, name string, flags uint64) error {
	const tmpfile = unix.O_TMPFILE &^ unix.O_DIRECTORY
	writes := flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
	switch {
	case flags&unix.O_PATH != 0, flags&tmpfile != 0:
		return nil
	case flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL:
		return t.touchNew(s)
	}
	visit := func(s spot) error {
		if flags&unix.O_CREAT != 0 {
			if err := t.touchNew(s); err != nil {
				return err
			}
		}
		if !writes {
			return nil
		}
		return t.touchContent(s)
	}
	if flags&unix.O_NOFOLLOW != 0 && !strings.HasSuffix(name, "/") {
		return visit(s)
	}
	return t.followed(s, visit)
}

// touchNew records a name that is not there.
func (t *tracee) touchNew(s spot) error {
	if s.name == "" {
		return nil
	}
	if _, _, err := keyOf(s.dir, s.name); err != unix.ENOENT {
		return err
	}
	return t.touchName(s)
}

// open2 records openat2(2). What restricts the resolution makes the call fail where
// ours does not; to record too much does no harm.
func (t *tracee) open2() error {
	var how [24]byte // struct open_how: flags, mode, resolve
	if n, err := peek(t.question.tid, t.args[2], how[:]); err != nil || n < len(how) {
		return unix.EFAULT
	}
	flags, resolve := binary.NativeEndian.Uint64(how[:]), binary.NativeEndian.Uint64(how[16:])
	if flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) == 0 {
		return nil
	}
	if resolve&unix.RESOLVE_IN_ROOT == 0 {
		return t.open(flags)
	}
	root, err := t.base(t.dirfd(t.operands[0]))
	if err != nil {
		return err
	}
	inside := *t
	inside.view = &view{tid: t.question.tid, root: root, apart: true, resolv: t.resolv}
	defer inside.view.close()
	name, err := t.peekPath(t.question.tid, t.args[1])
	if err != nil {
		return err
	}
	if name == "" {
		return unix.ENOENT
	}
	s, err := inside.from(root, name)
	if err != nil {
		return err
	}
	defer s.close()
	return inside.openSpot(s, name, flags)
}

// rename records rename(2) and renameat2(2). A directory takes along what is in it:
// from then on its places have other paths.
func (t *tracee) rename() error {
	from, _, err := t.spot(0)
	if err != nil {
		return err
	}
	defer from.close()
	to, _, err := t.spot(1)
	if err != nil {
		return err
	}
	defer to.close()
	if err := t.touchName(from); err != nil {
		return err
	}
	if err := t.touchName(to); err != nil {
		return err
	}
	if err := t.move(from, to); err != nil || t.flagWord()&unix.RENAME_EXCHANGE == 0 {
		return err
	}
	return t.move(to, from)
}

// move records that a spot, if it is a directory, goes to another one.
func (t *tracee) move(from, to spot) error {
	if from.name == "" || to.name == "" {
		return nil
	}
	k, st, err := keyOf(from.dir, from.name)
	if err != nil || !isType(&st, unix.S_IFDIR) {
		return err
	}
	m := move{}
	for _, side := range []struct {
		spot
		path *string
	}{{from, &m.from}, {to, &m.to}} {
		dir, err := pathOf(side.dir)
		if err != nil {
			return err
		}
		*side.path = path.Join(dir, side.name)
	}
	if below(t.journal.path, m.from) {
		return unix.EBUSY
	}
	if err := errors.Join(t.journal.addSpares(), t.journal.addMove(m)); err != nil {
		return &lostError{m.from[1:], err}
	}
	if v := t.volumes[k.dev]; v != nil && v.wait {
		t.journal.wait = true
	}
	t.moves = append(t.moves, m)
	return nil
}

// below reports whether a path is dir or in it.
func below(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// link records link(2) and linkat(2): the link count of the first is an attribute. If
// that is missing the kernel does not look at the second.
func (t *tracee) link() error {
	if err := t.linkSource(); err != nil {
		return err
	}
	return t.at(1, t.touchName)
}

func (t *tracee) linkSource() error {
	if t.flagWord()&unix.AT_EMPTY_PATH != 0 {
		if name, err := t.peekPath(t.question.tid, t.args[t.operands[0].path]); err == nil && name == "" {
			return t.opened(t.dirfd(t.operands[0]))
		}
	}
	touch := func(s spot) error {
		if _, _, err := keyOf(s.dir, s.name); err != nil {
			return err
		}
		return t.touchAttributes(s)
	}
	return t.at(0, func(s spot) error {
		if t.flagWord()&unix.AT_SYMLINK_FOLLOW != 0 {
			return t.followed(s, touch)
		}
		return touch(s)
	})
}

// meta records a change of attributes, by a path, or by a descriptor alone.
func (t *tracee) meta() error {
	o := t.operands[0]
	if o.path < 0 || t.args[o.path] == 0 {
		return t.opened(t.dirfd(o))
	}
	s, name, err := t.spot(0)
	if name == "" && t.flagWord()&unix.AT_EMPTY_PATH != 0 {
		return t.opened(t.dirfd(o))
	}
	if err != nil {
		return err
	}
	defer s.close()
	if t.flagWord()&unix.AT_SYMLINK_NOFOLLOW != 0 && !strings.HasSuffix(name, "/") {
		return t.touchAttributes(s)
	}
	return t.followed(s, t.touchAttributes)
}

// opened records a change of attributes of something open.
func (t *tracee) opened(fd int32) error {
	base, err := t.base(fd)
	if err != nil {
		return err
	}
	s, err := spotOf(base)
	if err == errNameless { // if it was there before, its inode was recorded when it lost its name
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	return t.touchAttributes(s)
}

// bind records the name that a unix socket gets (unix(7)).
func (t *tracee) bind() error {
	var address [unix.SizeofSockaddrUnix]byte
	n, err := peek(t.question.tid, t.args[1], address[:min(uint64(len(address)), t.args[2])])
	if err != nil {
		return err
	}
	if n <= 2 || binary.NativeEndian.Uint16(address[:]) != unix.AF_UNIX || address[2] == 0 {
		return nil
	}
	name, _, _ := strings.Cut(string(address[2:n]), "\x00")
	s, err := t.resolve(unix.AT_FDCWD, name)
	if err != nil {
		return err
	}
	defer s.close()
	return t.touchNew(s)
}

// Requests of linux/fs.h that x/sys does not have.
const (
	fsIocSetFlags32 = 0x40046602
	fsIocFsSetXattr = 0x401c5820
)

// harmless are requests of the watched types that change no file, or only one that
// is open to be written.
var harmless = map[uint32]bool{
	unix.FS_IOC_GETFLAGS: true, 0x80046601: true, // FS_IOC32_GETFLAGS
	0xc020660b: true,                   // FS_IOC_FIEMAP
	0x801c581f: true,                   // FS_IOC_FSGETXATTR
	0x80087601: true, 0x81009431: true, // FS_IOC_GETFSLABEL
	unix.FICLONE: true, unix.FICLONERANGE: true, unix.FIDEDUPERANGE: true,
}

// ioctl records requests that set inode flags. Others of their kind are refused as
// by a file system that does not know them.
func (t *tracee) ioctl() error {
	switch request := uint32(t.args[1]); {
	case request == unix.FS_IOC_SETFLAGS, request == fsIocSetFlags32, request == fsIocFsSetXattr:
		return t.opened(int32(t.args[0]))
	case harmless[request]:
		return nil
	}
	return unix.ENOTTY
}

// exec notes programs that the filter keeps from running with other ids.
func (t *tracee) exec() error {
	if !t.noNewPrivileges {
		return nil
	}
	s, name, err := t.spot(0)
	if err != nil {
		return nil //nolint:nilerr // it is the kernel's to say
	}
	defer s.close()
	_ = t.followed(s, func(s spot) error {
		if _, st, err := keyOf(s.dir, s.name); err == nil && isType(&st, unix.S_IFREG) && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
			t.setID[name] = true
		}
		return nil
	})
	return nil
}
