package trace

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

type entry = plist.Entry

// A tracee is a thread that asks about a call. What that is about to change, its
// observer is told.
type tracee struct {
	observer
	*view
	*call
	*sandbox.Question
	buf *[unix.PathMax]byte
}

// An observer is told what a call is about to change. An error refuses the call.
type observer interface {
	touchName(s spot) error       // a name may come, go, or become another file's
	touchAttributes(s spot) error // attributes of what has the name itself
	touchContent(s spot) error    // content of what has the name itself
	touchLinks(s spot) error      // how many names it has
	renamed(from, to spot, exchange bool) error
	execute(t *tracee) error
}

// tell decodes the call.
func (t *tracee) tell() error {
	switch t.verb {
	case verbOpen:
		flags := uint64(unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC) // creat(2)
		if t.call.flags >= 0 {
			flags = t.Args[t.call.flags]
		}
		return t.open(flags)
	case verbOpen2:
		return t.open2()
	case verbNew:
		return t.at(0, t.touchNew)
	case verbName:
		return t.at(0, t.touchName)
	case verbRename:
		return t.rename()
	case verbLink:
		return t.link()
	case verbMeta, verbLmeta:
		return t.meta()
	case verbWrite:
		return t.at(0, func(s spot) error { return t.followed(s, t.touchContent) })
	case verbBind:
		return t.bind(t.Args[1], t.Args[2])
	case verbPass: // of such, the kernel asks about i386's socketcall(2) alone, where that is a bind
		var args [3 * 4]byte
		if n, err := peek(t.TID, t.Args[1], args[:]); err != nil || n < len(args) {
			return unix.EFAULT
		}
		return t.bind(uint64(binary.NativeEndian.Uint32(args[4:])), uint64(binary.NativeEndian.Uint32(args[8:])))
	case verbIoctl:
		return t.ioctl()
	case verbExec:
		return t.execute(t)
	case verbChroot:
		t.resolv.chrooted = true
		return nil
	}
	return unix.ENOSYS
}

func (t *tracee) dirfd(o operand) int32 {
	if o.dir < 0 {
		return unix.AT_FDCWD
	}
	return int32(t.Args[o.dir])
}

// flagWord is the call's flags; 0 if it has none.
func (t *tracee) flagWord() uint64 {
	if t.call.flags < 0 {
		return 0
	}
	return t.Args[t.call.flags]
}

// spot finds where an operand leads, without following its last component, but for
// a slash after it. It returns the path's text, too.
func (t *tracee) spot(n int) (spot, string, error) {
	o := t.operands[n]
	name, err := t.peekPath(t.Args[o.path])
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
	if n, err := peek(t.TID, t.Args[2], how[:]); err != nil || n < len(how) {
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
	inside.view = &view{tid: t.TID, root: root, apart: true, resolv: t.resolv}
	defer inside.view.close()
	name, err := t.peekPath(t.Args[1])
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
	return t.renamed(from, to, t.flagWord()&unix.RENAME_EXCHANGE != 0)
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
	return t.at(1, t.touchNew)
}

func (t *tracee) linkSource() error {
	if t.flagWord()&unix.AT_EMPTY_PATH != 0 {
		if name, err := t.peekPath(t.Args[t.operands[0].path]); err == nil && name == "" {
			return t.opened(t.dirfd(t.operands[0]), t.touchLinks)
		}
	}
	touch := func(s spot) error {
		if _, _, err := keyOf(s.dir, s.name); err != nil {
			return err
		}
		return t.touchLinks(s)
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
	if o.path < 0 || t.Args[o.path] == 0 {
		return t.opened(t.dirfd(o), t.touchAttributes)
	}
	s, name, err := t.spot(0)
	if name == "" && t.flagWord()&unix.AT_EMPTY_PATH != 0 {
		return t.opened(t.dirfd(o), t.touchAttributes)
	}
	if err != nil {
		return err
	}
	defer s.close()
	noFollow := t.verb == verbLmeta || t.flagWord()&unix.AT_SYMLINK_NOFOLLOW != 0
	if noFollow && !strings.HasSuffix(name, "/") {
		return t.touchAttributes(s)
	}
	return t.followed(s, t.touchAttributes)
}

// opened does something to what is open.
func (t *tracee) opened(fd int32, do func(spot) error) error {
	base, err := t.base(fd)
	if err != nil {
		return err
	}
	s, err := t.spotOf(base)
	if err == errNameless { // if it was there before, its inode was recorded when it lost its name
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	return do(s)
}

// bind records the name that a unix socket gets (unix(7)).
func (t *tracee) bind(at, size uint64) error {
	var address [unix.SizeofSockaddrUnix]byte
	n, err := peek(t.TID, at, address[:min(uint64(len(address)), size)])
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
	switch request := uint32(t.Args[1]); {
	case request == unix.FS_IOC_SETFLAGS, request == fsIocSetFlags32, request == fsIocFsSetXattr:
		return t.opened(int32(t.Args[0]), t.touchAttributes)
	case harmless[request]:
		return nil
	}
	return unix.ENOTTY
}
