package fuse

import (
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// forever is how long the kernel may keep an answer.
const forever = 24 * time.Hour

// at calls do with the directory and the name by which a node is to be reached. A
// root is reached through "." in itself.
func (m *Mirror) at(n *node, do func(dir int, name string) error) error {
	if _, planted := m.dirs.kept[n]; planted || n.file.typ == unix.S_IFDIR {
		return m.dirs.use(n, func(fd int) error { return do(fd, ".") })
	}
	return m.dirs.use(n.parent, func(fd int) error { return do(fd, n.name) })
}

// open calls do with a descriptor to read a regular file or directory from.
func (m *Mirror) open(n *node, flags int, do func(fd int) error) error {
	return m.at(n, func(dir int, name string) error {
		fd, err := openQuietly(dir, name, flags, n.mine)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return do(fd)
	})
}

func openQuietly(dir int, name string, flags int, mine bool) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	if mine {
		fd, err := unix.Openat(dir, name, flags|unix.O_NOATIME, 0)
		if err != unix.EPERM {
			return fd, err
		}
	}
	return unix.Openat(dir, name, flags, 0)
}

// Lookup finds a name. That there is none is an answer to be kept, too.
func (m *Mirror) Lookup(_ <-chan struct{}, header *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	parent := m.node(header.NodeId)
	if parent == nil {
		return gofuse.Status(unix.ESTALE)
	}
	var st unix.Stat_t
	var err error
	if graft := m.grafts[name]; graft != nil && parent.id == gofuse.FUSE_ROOT_ID {
		err = m.stat(graft, &st)
	} else {
		err = m.dirs.use(parent, func(fd int) error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	}
	out.SetEntryTimeout(forever)
	switch {
	case err == unix.ENOENT:
		return gofuse.OK // node 0
	case err != nil:
		return m.status(parent, err)
	}
	out.NodeId, out.Generation = m.meet(parent, name, &st).id, 1
	out.SetAttrTimeout(forever)
	m.attr(&st, &out.Attr)
	return gofuse.OK
}

func (m *Mirror) stat(n *node, st *unix.Stat_t) error {
	return m.at(n, func(dir int, name string) error {
		return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// GetAttr tells the attributes.
func (m *Mirror) GetAttr(_ <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	n := m.node(in.NodeId)
	if n == nil {
		return gofuse.Status(unix.ESTALE)
	}
	var st unix.Stat_t
	if err := m.stat(n, &st); err != nil {
		return m.status(n, err)
	}
	m.attr(&st, &out.Attr)
	out.SetTimeout(forever)
	return gofuse.OK
}

// Readlink tells where a symlink leads.
func (m *Mirror) Readlink(_ <-chan struct{}, header *gofuse.InHeader) (target []byte, status gofuse.Status) {
	n := m.node(header.NodeId)
	if n == nil {
		return nil, gofuse.Status(unix.ESTALE)
	}
	err := m.at(n, func(dir int, name string) error {
		buf := make([]byte, unix.PathMax)
		k, err := unix.Readlinkat(dir, name, buf)
		target = buf[:max(k, 0)]
		return err
	})
	return target, m.status(n, err)
}

// Open tells the kernel not to ask: it then opens and closes by itself. So a file
// that may not be read is found out at the first read only.
func (m *Mirror) Open(<-chan struct{}, *gofuse.OpenIn, *gofuse.OpenOut) gofuse.Status {
	return gofuse.ENOSYS
}

// Flush tells the kernel not to ask either: nothing is ever written.
func (m *Mirror) Flush(<-chan struct{}, *gofuse.FlushIn) gofuse.Status { return gofuse.ENOSYS }

// Read reads content.
func (m *Mirror) Read(_ <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	n := m.node(in.NodeId)
	if n == nil {
		return nil, gofuse.Status(unix.ESTALE)
	}
	filled := 0
	err := m.open(n, 0, func(fd int) error {
		for filled < len(buf) {
			k, err := unix.Pread(fd, buf[filled:], int64(in.Offset)+int64(filled))
			if err == unix.EINTR {
				continue
			}
			if err != nil || k == 0 {
				return err
			}
			filled += k
		}
		return nil
	})
	return gofuse.ReadResultData(buf[:filled]), m.status(n, err)
}

// Lseek finds data and holes.
func (m *Mirror) Lseek(_ <-chan struct{}, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	n := m.node(in.NodeId)
	if n == nil {
		return gofuse.Status(unix.ESTALE)
	}
	return m.status(n, m.open(n, 0, func(fd int) error {
		off, err := unix.Seek(fd, int64(in.Offset), int(in.Whence))
		out.Offset = uint64(off)
		return err
	}))
}

// fsGetXattr is FS_IOC_FSGETXATTR of linux/fs.h.
const fsGetXattr = 0x801c581f

// Ioctl answers the two that read inode flags, which the kernel asks for an
// overlay: an int, and a struct fsxattr (fs/fuse/ioctl.c, fuse_fileattr_get). What who
// serves it may not read has none.
func (m *Mirror) Ioctl(_ <-chan struct{}, in *gofuse.IoctlIn, _ []byte, _ *gofuse.IoctlOut, buf []byte) gofuse.Status {
	n := m.node(in.NodeId)
	size := map[uint32]int{unix.FS_IOC_GETFLAGS: 4, fsGetXattr: 28}[in.Cmd]
	if n == nil || size == 0 || len(buf) < size {
		return gofuse.Status(unix.ENOTTY)
	}
	err := m.open(n, 0, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(in.Cmd), uintptr(unsafe.Pointer(&buf[0])))
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err == unix.EACCES { // nobody has asked for content yet
		return gofuse.Status(unix.ENOTTY)
	}
	return m.status(n, err)
}

// StatFs tells the room on the file system that a node really is on.
func (m *Mirror) StatFs(_ <-chan struct{}, in *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	n := m.node(in.NodeId)
	if n == nil {
		return gofuse.Status(unix.ESTALE)
	}
	for n.file.typ != unix.S_IFDIR {
		n = n.parent
	}
	var st unix.Statfs_t
	err := m.dirs.use(n, func(fd int) error { return unix.Fstatfs(fd, &st) })
	if err != nil {
		return m.status(n, err)
	}
	*out = gofuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), NameLen: uint32(st.Namelen), Frsize: uint32(st.Frsize),
	}
	return gofuse.OK
}
