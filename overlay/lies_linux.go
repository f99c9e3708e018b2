package overlay

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
	"github.com/sandbox-install/sandbox-install/plist"
)

// In a user namespace nobody can make a device node, nor give a file to an id that
// the namespace does not have. The calls that try are answered as if they had
// succeeded: in place of the device there is an empty file, and the file is given to
// the stranger, the last id that there is, which stands for all that there are not. That
// is also what stat(2) shows inside; but what was asked for is written down, and the list
// tells that while the file is the stranger's: so nobody needs to be asked about a call
// that gives it to somebody whom the namespace has. Where there is but one id, that is
// the stranger, too, and all calls are asked about.
//
// It is written into attributes of regular files and directories, which go with
// the file wherever it goes. Nothing else can have such attributes, so the owners of
// symlinks and the like are kept by inode, with a descriptor that keeps the inode.

// nodeXattr is the attribute of a file in place of a device: "c MAJOR MINOR" or
// "b MAJOR MINOR".
const nodeXattr = "user.sandbox-install.node"

// An owner is who a file belongs to, as the command believes.
type owner struct{ uid, gid uint32 }

func (o owner) String() string { return fmt.Sprintf("%d:%d", o.uid, o.gid) }

func parseOwner(text string) (o owner, ok bool) {
	n, err := fmt.Sscanf(text, "%d:%d", &o.uid, &o.gid)
	return o, err == nil && n == 2
}

// lies is what the command was told that is not so.
type lies struct {
	populace // its stranger has the files that are said to be somebody else's

	mu     sync.Mutex
	owners map[inodeKey]owner
	pinned []int // descriptors of their inodes
}

// keep keeps the owner of an inode; nil forgets it. The descriptor is duplicated.
func (l *lies) keep(fd int, o *owner) error {
	k, err := keyOf(fd)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o == nil {
		delete(l.owners, k)
		return nil
	}
	if _, ok := l.owners[k]; !ok {
		pin, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		l.pinned = append(l.pinned, pin)
	}
	if l.owners == nil {
		l.owners = make(map[inodeKey]owner)
	}
	l.owners[k] = *o
	return nil
}

func keyOf(fd int) (inodeKey, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return inodeKey{st.Dev, st.Ino}, err
}

func (l *lies) find(k inodeKey) (owner, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.owners[k]
	return o, ok
}

func (l *lies) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range l.pinned {
		unix.Close(fd)
	}
	l.pinned = nil
}

// believe makes an entry what the command believes the file to be. What was given to
// somebody afterwards whom the namespace has is no longer the stranger's.
func (l *layer) believe(e *plist.Entry, inode capture.Inode) error {
	if !l.isBelieved() {
		return nil
	}
	o, _ := l.lies.find(key(inode)) // what nothing is known of is root's
	if text, found := e.Xattrs[fuse.OwnerXattr]; found {
		var ok bool
		if o, ok = parseOwner(text); !ok {
			return fmt.Errorf("attribute %s=%q", fuse.OwnerXattr, text)
		}
		dropXattr(e, fuse.OwnerXattr)
	}
	if e.UID == l.lies.stranger {
		e.UID = o.uid
	}
	if e.GID == l.lies.stranger {
		e.GID = o.gid
	}
	text, found := e.Xattrs[nodeXattr]
	if !found || !e.Mode.IsRegular() {
		return nil
	}
	dropXattr(e, nodeXattr)
	return believeNode(e, text)
}

func believeNode(e *plist.Entry, text string) error {
	var typ string
	if n, err := fmt.Sscanf(text, "%s %d %d", &typ, &e.Major, &e.Minor); err != nil || n != 3 {
		return fmt.Errorf("attribute %s=%q", nodeXattr, text)
	}
	e.Mode |= os.ModeDevice
	if typ == "c" {
		e.Mode |= os.ModeCharDevice
	}
	e.Size, e.Flags = 0, 0
	return nil
}

func dropXattr(e *plist.Entry, name string) {
	delete(e.Xattrs, name)
	if len(e.Xattrs) == 0 {
		e.Xattrs = nil
	}
}

// A witness answers calls of the command, in a thread of its own whose root is where
// the caller's is.
type witness struct {
	*lies
	watch      *watch // who is told of the calls, too; or nil
	listener   int
	ended      chan struct{} // closed when nobody is left who could ask
	proc, root int           // init's own
}

// A credential is what of a process decides if it may do what it asks for.
type credential struct {
	capabilities uint64
	umask        int
	fsuid, fsgid int
}

// credential reads proc(5)'s status of a thread.
func (w *witness) credential(pid uint32) (c credential, err error) {
	fd, err := unix.Openat(w.proc, fmt.Sprintf("%d/status", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return c, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return c, err
	}
	for line := range strings.Lines(string(buf[:n])) {
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "CapEff:":
			c.capabilities, err = strconv.ParseUint(words[1], 16, 64)
		case len(words) == 2 && words[0] == "Umask:":
			var mask uint64
			mask, err = strconv.ParseUint(words[1], 8, 12)
			c.umask = int(mask)
		case len(words) == 5 && words[0] == "Uid:":
			c.fsuid, err = strconv.Atoi(words[4])
		case len(words) == 5 && words[0] == "Gid:":
			c.fsgid, err = strconv.Atoi(words[4])
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *credential) has(capability uint) bool { return c.capabilities>>capability&1 != 0 }

// errContinue lets the kernel do the call.
var errContinue = errors.New("continue")

// concerns reports whether a call is one that filter asks about.
func (w *witness) concerns(n *notification, c *call) bool {
	if n.arch != auditArch {
		return false
	}
	if c.isMknod() {
		typ := n.args[c.mode] & unix.S_IFMT
		return typ == unix.S_IFCHR || typ == unix.S_IFBLK
	}
	outside := func(id uint32) bool { return id != unchanged && id >= w.stranger }
	return outside(uint32(n.args[c.owner])) || outside(uint32(n.args[c.owner+1]))
}

// answer does what stands for a call.
func (w *witness) answer(n *notification) error {
	c := findCall(n.nr)
	if c == nil || !w.concerns(n, c) {
		return errContinue
	}
	cred, err := w.credential(n.pid)
	if err != nil {
		return errContinue // the thread is gone
	}
	if c.isMknod() && !cred.has(unix.CAP_MKNOD) || !c.isMknod() && !cred.has(unix.CAP_CHOWN) {
		return errContinue
	}
	base, name, err := w.place(n, c)
	if err != nil {
		return err
	}
	defer unix.Close(base)
	if !n.valid(w.listener) {
		return errContinue
	}
	if c.isMknod() {
		if isWhiteout(n.args[c.mode], n.args[c.mode+1]) && !w.onUnion(n, base, name) {
			return errContinue
		}
		return w.mknod(n, base, name, uint32(n.args[c.mode]), uint32(n.args[c.mode+1]), &cred)
	}
	fd, err := w.open(n, c, base, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return w.chown(fd, uint32(n.args[c.owner]), uint32(n.args[c.owner+1]))
}

// place returns the directory, or for "" the file, and the name that a call is
// about.
func (w *witness) place(n *notification, c *call) (base int, name string, err error) {
	if c.path >= 0 {
		if name, err = n.text(w.proc, n.args[c.path]); err != nil {
			return -1, "", err
		}
	}
	at := fmt.Sprintf("%d/cwd", n.pid)
	if c.dir >= 0 && int32(n.args[c.dir]) != unix.AT_FDCWD {
		at = fmt.Sprintf("%d/fd/%d", n.pid, int32(n.args[c.dir]))
	}
	base, err = unix.Openat(w.proc, at, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		err = unix.EBADF
	}
	return base, name, err
}

// inRootOf calls do while this thread has the root of the caller.
func (w *witness) inRootOf(n *notification, do func() error) error {
	root, err := unix.Openat(w.proc, fmt.Sprintf("%d/root", n.pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := chroot(root); err != nil {
		return err
	}
	err = do()
	return errors.Join(err, chroot(w.root))
}

func chroot(dir int) error {
	if err := unix.Fchdir(dir); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// isWhiteout reports whether a mknod(2) is for a whiteout, which takes no privilege
// where it can be one. Who makes one there is another sandbox inside.
func isWhiteout(mode, device uint64) bool {
	return mode&unix.S_IFMT == unix.S_IFCHR && uint32(device) == 0
}

// onUnion reports whether a name would be on one of the sandbox's unions. What is on one
// that was mounted in a sandbox inside can not be looked at from here.
func (w *witness) onUnion(n *notification, base int, name string) bool {
	var st unix.Statfs_t
	err := w.inRootOf(n, func() error {
		dir, err := unix.Openat(base, path.Dir(name), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return unix.Fstatfs(dir, &st)
	})
	return err == nil && (st.Type == unix.OVERLAYFS_SUPER_MAGIC || st.Type == unix.FUSE_SUPER_MAGIC)
}

// mknod makes the file in place of a device.
func (w *witness) mknod(n *notification, base int, name string, mode, device uint32, cred *credential) error {
	fd := -1
	err := w.inRootOf(n, func() (err error) {
		unix.Umask(cred.umask)
		if err := unix.Mknodat(base, name, unix.S_IFREG|mode&0o7777, 0); err != nil {
			return err
		}
		if cred.fsuid != 0 || cred.fsgid != 0 {
			if err := unix.Fchownat(base, name, cred.fsuid, cred.fsgid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return err
			}
		}
		fd, err = unix.Openat(base, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	letter := "b"
	if mode&unix.S_IFMT == unix.S_IFCHR {
		letter = "c"
	}
	// The system call's device is the kernel's new_encode_dev, as is stat(2)'s.
	what := fmt.Sprintf("%s %d %d", letter, unix.Major(uint64(device)), unix.Minor(uint64(device)))
	return unix.Fsetxattr(fd, nodeXattr, []byte(what), 0)
}

// open opens the file that is to have another owner.
func (w *witness) open(n *notification, c *call, base int, name string) (fd int, err error) {
	flags := unix.O_PATH | unix.O_CLOEXEC
	if c.nofollow || c.flags >= 0 && n.args[c.flags]&unix.AT_SYMLINK_NOFOLLOW != 0 {
		flags |= unix.O_NOFOLLOW
	}
	if name == "" {
		if c.path >= 0 && (c.flags < 0 || n.args[c.flags]&unix.AT_EMPTY_PATH == 0) {
			return -1, unix.ENOENT
		}
		return unix.FcntlInt(uintptr(base), unix.F_DUPFD_CLOEXEC, 0)
	}
	err = w.inRootOf(n, func() (err error) {
		fd, err = unix.Openat(base, name, flags, 0)
		return err
	})
	return fd, err
}

const unchanged = ^uint32(0) // an id of chown(2)

// chown gives a file to whom the namespace has of the new owners, and to the stranger for
// the others, and keeps what was asked for.
func (w *witness) chown(fd int, uid, gid uint32) error {
	noted, now := w.believed(fd)
	if uid != unchanged {
		now.uid = uid
	}
	if gid != unchanged {
		now.gid = gid
	}
	shown := func(id uint32, has func(uint32) bool) int {
		if id != unchanged && !has(id) {
			return int(w.stranger)
		}
		return int(int32(id))
	}
	if err := unix.Fchownat(fd, "", shown(uid, w.hasUID), shown(gid, w.hasGID), unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	if w.hasUID(now.uid) && w.hasGID(now.gid) {
		if !noted {
			return nil
		}
		return w.note(fd, nil)
	}
	return w.note(fd, &now)
}

// believed returns who a file belongs to, and whether something is written down of it.
func (w *witness) believed(fd int) (noted bool, o owner) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false, o
	}
	kept, noted := w.find(inodeKey{st.Dev, st.Ino})
	buf := make([]byte, 64)
	if f, err := w.reopen(fd, &st); err == nil {
		defer unix.Close(f)
		if n, err := unix.Fgetxattr(f, fuse.OwnerXattr, buf); err == nil {
			kept, noted = parseOwner(string(buf[:n]))
		}
	}
	o = owner{st.Uid, st.Gid}
	if noted && st.Uid == w.stranger {
		o.uid = kept.uid
	}
	if noted && st.Gid == w.stranger {
		o.gid = kept.gid
	}
	return noted, o
}

// reopen opens a regular file or directory, of which there is an O_PATH descriptor,
// to read.
func (w *witness) reopen(fd int, st *unix.Stat_t) (int, error) {
	if typ := st.Mode & unix.S_IFMT; typ != unix.S_IFREG && typ != unix.S_IFDIR {
		return -1, unix.ENOTSUP
	}
	return unix.Openat(w.proc, "self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// note writes down who a file belongs to; nil is whom it seems to.
func (w *witness) note(fd int, o *owner) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	f, err := w.reopen(fd, &st)
	if err == unix.ENOTSUP {
		return w.keep(fd, o)
	}
	if err != nil {
		return err
	}
	defer unix.Close(f)
	if o == nil {
		return unix.Fremovexattr(f, fuse.OwnerXattr)
	}
	return unix.Fsetxattr(f, fuse.OwnerXattr, []byte(o.String()), 0)
}
