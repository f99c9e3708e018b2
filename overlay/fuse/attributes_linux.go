package fuse

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// SetAttr changes attributes: the size, the owner, then the mode, of which both take
// bits, and the times, which all change.
func (u *Union) SetAttr(_ <-chan struct{}, in *gofuse.SetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	if in.Valid&gofuse.FATTR_SIZE == 0 || in.Size != 0 {
		defer u.ahead(in.NodeId)()
	}
	u.tree.Lock()
	defer u.tree.Unlock()
	o := u.object(in.NodeId)
	if o == nil {
		return stale
	}
	if o.refuses(&in.SetAttrInCommon) {
		return gofuse.EPERM
	}
	if err := u.raise(o, in.Valid&gofuse.FATTR_SIZE != 0 && in.Size == 0); err != nil {
		return status(err)
	}
	const owner = gofuse.FATTR_UID | gofuse.FATTR_GID
	kill := in.Valid&gofuse.FATTR_KILL_SUIDGID != 0 && in.Valid&gofuse.FATTR_MODE == 0
	if in.Valid&gofuse.FATTR_SIZE != 0 {
		keep := kill && in.Valid&owner == 0 && u.isRoot(&in.Caller)
		kill = kill && !keep
		err := u.file(o, func(fd int) error {
			truncate := func() error { return unix.Ftruncate(fd, int64(in.Size)) }
			if keep {
				return keepSetID(fd, truncate)
			}
			return truncate()
		})
		if err != nil {
			return status(err)
		}
	}
	err := u.to(o, func(dir int, name string, nofollow int) error {
		return setAttributes(dir, name, nofollow, &in.SetAttrInCommon)
	})
	if err == nil && kill {
		err = u.dropSetID(o, in.Caller.Gid)
	}
	if err != nil {
		return status(err)
	}
	return u.tell(o, out)
}

// refuses reports whether a file's flags are in the way (ioctl_iflags(2)).
func (o *object) refuses(in *gofuse.SetAttrInCommon) bool {
	now := uint32(gofuse.FATTR_ATIME_NOW | gofuse.FATTR_MTIME_NOW)
	setsTime := in.Valid&(gofuse.FATTR_ATIME|gofuse.FATTR_MTIME) != 0
	switch {
	case o.protected == 0:
		return false
	case o.protected&unix.STATX_ATTR_IMMUTABLE != 0:
		return true
	}
	return in.Valid&(gofuse.FATTR_MODE|gofuse.FATTR_UID|gofuse.FATTR_GID|gofuse.FATTR_SIZE) != 0 || setsTime && in.Valid&now == 0
}

func setAttributes(dir int, name string, nofollow int, in *gofuse.SetAttrInCommon) error {
	if in.Valid&(gofuse.FATTR_UID|gofuse.FATTR_GID) != 0 {
		uid, gid := -1, -1
		if in.Valid&gofuse.FATTR_UID != 0 {
			uid = int(in.Uid)
		}
		if in.Valid&gofuse.FATTR_GID != 0 {
			gid = int(in.Gid)
		}
		if err := unix.Fchownat(dir, name, uid, gid, nofollow); err != nil {
			return err
		}
	}
	if in.Valid&gofuse.FATTR_MODE != 0 && in.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dir, name, in.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	set := false
	for i, t := range []struct {
		valid, now uint32
		sec        uint64
		nsec       uint32
	}{
		{gofuse.FATTR_ATIME, gofuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec},
		{gofuse.FATTR_MTIME, gofuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec},
	} {
		switch {
		case in.Valid&t.now != 0:
			times[i].Nsec, set = unix.UTIME_NOW, true
		case in.Valid&t.valid != 0:
			times[i], set = unix.Timespec{Sec: int64(t.sec), Nsec: int64(t.nsec)}, true
		}
	}
	if !set {
		return nil
	}
	return unix.UtimesNanoAt(dir, name, times, nofollow)
}

// isRoot reports whether a caller is root of a user namespace. What he writes keeps its
// set-id bits, as what root writes; but the kernel asks the host's CAP_FSETID of him, and
// of the union's own process.
func (u *Union) isRoot(caller *gofuse.Caller) bool {
	return strings.HasPrefix(u.opt.Private, "user.") && caller.Uid == 0
}

// keepSetID has a file keep the set-id bits that a change takes from it.
func keepSetID(fd int, change func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := change(); err != nil || st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return err
	}
	return unix.Fchmod(fd, st.Mode&0o7777)
}

// dropSetID takes from a file what a write by who is no root takes: set-user-ID, and
// set-group-ID, but where nobody may execute it as that group only if it is not the
// writer's (setattr_should_drop_sgid of fs/attr.c, Linux 6.2; of his groups we know one).
func (u *Union) dropSetID(o *object, writer uint32) error {
	var st unix.Statx_t
	if err := u.stat(o, &st); err != nil {
		return err
	}
	mode := uint32(st.Mode) &^ unix.S_ISUID
	if mode&unix.S_IXGRP != 0 || st.Gid != writer {
		mode &^= unix.S_ISGID
	}
	if mode == uint32(st.Mode) || mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	return u.to(o, func(dir int, name string, _ int) error { return unix.Fchmodat(dir, name, mode&0o7777, 0) })
}

// shown is the name that an attribute of a layer has inside; "" if it is an overlay's
// own. One that somebody set inside of an overlay, who thought of an overlay in the
// overlay, is kept with a second "overlay." (Linux 6.7).
func (u *Union) shown(name string) string {
	rest, ok := strings.CutPrefix(name, u.opt.Private)
	if !ok {
		return name
	}
	if inner, escaped := strings.CutPrefix(rest, "overlay."); escaped {
		return u.opt.Private + inner
	}
	return ""
}

// kept is the inverse of shown.
func (u *Union) kept(name string) string {
	if rest, ok := strings.CutPrefix(name, u.opt.Private); ok {
		return u.opt.Private + "overlay." + rest
	}
	return name
}

// GetXAttr reads an attribute.
func (u *Union) GetXAttr(_ <-chan struct{}, header *gofuse.InHeader, name string, dest []byte) (size uint32, _ gofuse.Status) {
	u.tree.RLock()
	defer u.tree.RUnlock()
	o := u.object(header.NodeId)
	if o == nil {
		return 0, stale
	}
	get := func(fd int) error {
		n, err := unix.Fgetxattr(fd, u.kept(name), dest)
		size = uint32(max(n, 0))
		return err
	}
	err, open := u.files.useOpen(o, get)
	if !open {
		err = u.path(o, func(path string, follow bool) error {
			get := unix.Lgetxattr
			if follow {
				get = unix.Getxattr
			}
			n, err := get(path, u.kept(name), dest)
			size = uint32(max(n, 0))
			return err
		})
	}
	if err == unix.ERANGE { // too little room; how much is wanted, the kernel asks with none
		return 0, gofuse.ERANGE
	}
	return size, status(err)
}

// ListXAttr lists the attributes.
func (u *Union) ListXAttr(_ <-chan struct{}, header *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	u.tree.RLock()
	defer u.tree.RUnlock()
	o := u.object(header.NodeId)
	if o == nil {
		return 0, stale
	}
	var names []byte
	err := u.path(o, func(path string, follow bool) (err error) {
		list := unix.Llistxattr
		if follow {
			list = unix.Listxattr
		}
		names, err = sized(func(buf []byte) (int, error) { return list(path, buf) })
		return err
	})
	if err != nil && err != unix.ENOTSUP {
		return 0, status(err)
	}
	var shown []byte
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name = u.shown(name); name != "" {
			shown = append(append(shown, name...), 0)
		}
	}
	return fill(dest, shown)
}

// SetXAttr sets an attribute.
func (u *Union) SetXAttr(_ <-chan struct{}, in *gofuse.SetXAttrIn, name string, data []byte) gofuse.Status {
	return u.changeXattr(in.NodeId, func(o *object, path string, follow bool) error {
		set := unix.Lsetxattr
		if follow {
			set = unix.Setxattr
		}
		err := set(path, u.kept(name), data, int(in.Flags))
		if err == nil && in.SetXAttrFlags&gofuse.SETXATTR_ACL_KILL_SGID != 0 {
			err = u.dropSetGID(o)
		}
		return err
	})
}

func (u *Union) dropSetGID(o *object) error {
	return u.to(o, func(dir int, name string, nofollow int) error {
		var st unix.Statx_t
		if err := unix.Statx(dir, name, nofollow, statxMask, &st); err != nil || st.Mode&unix.S_ISGID == 0 {
			return err
		}
		return unix.Fchmodat(dir, name, uint32(st.Mode)&0o7777&^unix.S_ISGID, 0)
	})
}

// RemoveXAttr removes an attribute.
func (u *Union) RemoveXAttr(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	return u.changeXattr(header.NodeId, func(_ *object, path string, follow bool) error {
		remove := unix.Lremovexattr
		if follow {
			remove = unix.Removexattr
		}
		return remove(path, u.kept(name))
	})
}

func (u *Union) changeXattr(id uint64, change func(o *object, path string, follow bool) error) gofuse.Status {
	defer u.ahead(id)()
	u.tree.Lock()
	defer u.tree.Unlock()
	o := u.object(id)
	if o == nil {
		return stale
	}
	if o.protected != 0 {
		return gofuse.EPERM
	}
	if err := u.raise(o, false); err != nil {
		return status(err)
	}
	o.defaultACL = 0
	return status(u.path(o, func(path string, follow bool) error { return change(o, path, follow) }))
}

// Inode flags of linux/fs.h, which are the same for many file systems.
const (
	flagSync      = 0x8
	flagImmutable = 0x10
	flagAppend    = 0x20
	flagNoAtime   = 0x80
)

// fsSetXattr is FS_IOC_FSSETXATTR of linux/fs.h.
const fsSetXattr = 0x401c5820

// Ioctl answers the four that read and set inode flags: an int, and a struct fsxattr
// (fs/fuse/ioctl.c). As in an overlay, a file in upper is never immutable itself, nor
// append-only: a note says so, and is heeded here.
func (u *Union) Ioctl(_ <-chan struct{}, in *gofuse.IoctlIn, inbuf []byte, _ *gofuse.IoctlOut, outbuf []byte) gofuse.Status {
	u.tree.Lock()
	defer u.tree.Unlock()
	o := u.object(in.NodeId)
	if o == nil {
		return stale
	}
	if o.typ != unix.S_IFREG && !o.isDir() {
		return gofuse.Status(unix.ENOTTY)
	}
	switch {
	case in.Cmd == unix.FS_IOC_GETFLAGS && len(outbuf) >= 4, in.Cmd == fsGetXattr && len(outbuf) >= 28:
		return status(u.opened(o, func(fd int) error {
			if err := ioctl(fd, in.Cmd, outbuf); err != nil {
				return err
			}
			binary.NativeEndian.PutUint32(outbuf, binary.NativeEndian.Uint32(outbuf)|o.flags(in.Cmd))
			return nil
		}))
	case in.Cmd == unix.FS_IOC_SETFLAGS && len(inbuf) >= 4, in.Cmd == fsSetXattr && len(inbuf) >= 28:
		return status(u.setFlags(o, in.Cmd, slices.Clone(inbuf)))
	}
	return gofuse.Status(unix.ENOTTY)
}

func ioctl(fd int, cmd uint32, arg []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(cmd), uintptr(unsafe.Pointer(&arg[0])))
	if errno != 0 {
		return errno
	}
	return nil
}

// protecting are the bits for immutable and append-only in the first word of what an
// ioctl takes: FS_XFLAG_* in a struct fsxattr.
func protecting(cmd uint32) (immutable, appendOnly uint32) {
	if cmd == fsGetXattr || cmd == fsSetXattr {
		return 0x8, 0x10
	}
	return flagImmutable, flagAppend
}

// flags are what a note adds to the flags of a file in upper.
func (o *object) flags(cmd uint32) (flags uint32) {
	immutable, appendOnly := protecting(cmd)
	if o.protected&unix.STATX_ATTR_IMMUTABLE != 0 {
		flags |= immutable
	}
	if o.protected&unix.STATX_ATTR_APPEND != 0 {
		flags |= appendOnly
	}
	return flags
}

func (u *Union) setFlags(o *object, cmd uint32, arg []byte) error {
	if err := u.raise(o, false); err != nil {
		return err
	}
	immutable, appendOnly := protecting(cmd)
	flags := binary.NativeEndian.Uint32(arg)
	protected := uint32(0)
	if flags&immutable != 0 {
		protected |= unix.STATX_ATTR_IMMUTABLE
	}
	if flags&appendOnly != 0 {
		protected |= unix.STATX_ATTR_APPEND
	}
	binary.NativeEndian.PutUint32(arg, flags&^(immutable|appendOnly))
	if err := u.opened(o, func(fd int) error { return ioctl(fd, cmd, arg) }); err != nil {
		return err
	}
	note := u.opt.Private + "protattr"
	err := u.path(o, func(path string, _ bool) error {
		if protected == 0 {
			return unix.Removexattr(path, note)
		}
		return unix.Setxattr(path, note, []byte(protattr(protected)), 0)
	})
	if err != nil && err != unix.ENODATA {
		return err
	}
	o.protected = protected
	return nil
}

// changeFlags sets some of the inode flags of a file to those of others.
func changeFlags(fd, mask, flags int) error {
	have, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err == unix.ENOTTY || err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, have&^mask|flags&mask)
}

// protattr is the text of the note that says that a file is immutable, or append-only
// (fs/overlayfs/util.c).
func protattr(protected uint32) (text string) {
	if protected&unix.STATX_ATTR_APPEND != 0 {
		text += "a"
	}
	if protected&unix.STATX_ATTR_IMMUTABLE != 0 {
		text += "i"
	}
	return text
}

func protection(text string) (protected uint32) {
	if strings.Contains(text, "a") {
		protected |= unix.STATX_ATTR_APPEND
	}
	if strings.Contains(text, "i") {
		protected |= unix.STATX_ATTR_IMMUTABLE
	}
	return protected
}

// opened calls do with a descriptor to read a regular file or directory.
func (u *Union) opened(o *object, do func(fd int) error) error {
	return u.to(o, func(dir int, name string, nofollow int) error {
		flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
		if nofollow != 0 {
			flags |= unix.O_NOFOLLOW
		}
		fd, err := unix.Openat(dir, name, flags, 0)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer unix.Close(fd)
		return do(fd)
	})
}
