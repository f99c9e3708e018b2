package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Readlink tells where a symlink leads.
func (u *Union) Readlink(_ <-chan struct{}, header *gofuse.InHeader) (target []byte, _ gofuse.Status) {
	u.tree.RLock()
	defer u.tree.RUnlock()
	o := u.object(header.NodeId)
	if o == nil {
		return nil, stale
	}
	buf := make([]byte, unix.PathMax)
	if o.orphan >= 0 { // an empty name is the link that the descriptor is open on
		n, err := unix.Readlinkat(o.orphan, "", buf)
		return buf[:max(n, 0)], status(err)
	}
	err := u.to(o, func(dir int, name string, _ int) error {
		n, err := unix.Readlinkat(dir, name, buf)
		target = buf[:max(n, 0)]
		return err
	})
	return target, status(err)
}

// Open tells the kernel not to ask: it then opens and closes by itself. A file is
// copied up when it is first changed.
func (u *Union) Open(<-chan struct{}, *gofuse.OpenIn, *gofuse.OpenOut) gofuse.Status {
	return gofuse.ENOSYS
}

// Release has nothing to do.
func (u *Union) Release(<-chan struct{}, *gofuse.ReleaseIn) {}

// Flush, Fsync, FsyncDir and Access tell the kernel not to ask either: what a crash
// would lose is thrown away anyway, and who may do what is decided by the kernel.
func (u *Union) Flush(<-chan struct{}, *gofuse.FlushIn) gofuse.Status { return gofuse.ENOSYS }

// Fsync is like Flush.
func (u *Union) Fsync(<-chan struct{}, *gofuse.FsyncIn) gofuse.Status { return gofuse.ENOSYS }

// FsyncDir is like Flush.
func (u *Union) FsyncDir(<-chan struct{}, *gofuse.FsyncIn) gofuse.Status { return gofuse.ENOSYS }

// Access is like Flush.
func (u *Union) Access(<-chan struct{}, *gofuse.AccessIn) gofuse.Status { return gofuse.ENOSYS }

// file calls do with the descriptor of a regular file, to be written too if it is in
// upper.
//
// Preconditions: tree is held, or shared.
func (u *Union) file(o *object, do func(fd int) error) error {
	if o.typ != unix.S_IFREG {
		return unix.EINVAL
	}
	open := func() (int, error) {
		if o.upper == nil && o.orphan < 0 {
			return u.open(o, unix.O_RDONLY)
		}
		return u.open(o, unix.O_RDWR)
	}
	return u.files.use(o, open, do)
}

// open opens a regular file.
func (u *Union) open(o *object, flags int) (fd int, err error) {
	err = u.to(o, func(dir int, name string, nofollow int) (err error) {
		if nofollow != 0 {
			flags |= unix.O_NOFOLLOW
		}
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// reading calls do with the descriptor of a file to be read.
func (u *Union) reading(id uint64, do func(o *object, fd int) error) gofuse.Status {
	u.tree.RLock()
	defer u.tree.RUnlock()
	o := u.object(id)
	if o == nil {
		return stale
	}
	return status(u.file(o, func(fd int) error { return do(o, fd) }))
}

// writing calls do with the descriptor of a file that is to be changed, and copies it
// up first if need be. Flags are those that it was opened with, if they are known.
func (u *Union) writing(id uint64, flags uint32, do func(o *object, fd int) error) gofuse.Status {
	for {
		u.tree.RLock()
		o := u.object(id)
		if o == nil {
			u.tree.RUnlock()
			return stale
		}
		if o.protected&unix.STATX_ATTR_IMMUTABLE != 0 || o.protected != 0 && flags&unix.O_APPEND == 0 {
			u.tree.RUnlock()
			return gofuse.EPERM
		}
		if o.upper != nil || o.orphan >= 0 {
			err := u.file(o, func(fd int) error { return do(o, fd) })
			u.tree.RUnlock()
			return status(err)
		}
		u.tree.RUnlock()
		end := u.ahead(id)
		u.tree.Lock()
		err := u.raise(o, false)
		u.tree.Unlock()
		end()
		if err != nil {
			return status(err)
		}
	}
}

// Read reads content. It leaves an access time if the reader's descriptor would.
func (u *Union) Read(_ <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	n := 0
	status := u.reading(in.NodeId, func(o *object, fd int) (err error) {
		if in.Flags&unix.O_NOATIME != 0 && (o.upper != nil || o.orphan >= 0) { // lower directories are mounted without
			if fd, err = u.open(o, unix.O_RDONLY|unix.O_NOATIME); err != nil {
				return err
			}
			defer unix.Close(fd)
		}
		for {
			n, err = unix.Pread(fd, buf, int64(in.Offset)) // fewer at the end of a file only
			if err != unix.EINTR {
				return err
			}
		}
	})
	if !status.Ok() {
		return nil, status // with a result, go-fuse would forget it
	}
	return gofuse.ReadResultData(buf[:n]), status
}

// Write writes content: less than all if that is what there is room for.
func (u *Union) Write(_ <-chan struct{}, in *gofuse.WriteIn, data []byte) (written uint32, _ gofuse.Status) {
	status := u.writing(in.NodeId, in.Flags, func(o *object, fd int) error {
		write := func() error {
			n, err := writeAll(fd, data, int64(in.Offset))
			if n == 0 && err != nil {
				return err
			}
			written = uint32(n)
			return nil
		}
		kill := in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0
		switch {
		case in.WriteFlags&gofuse.WRITE_CACHE != 0: // through memory, which takes nothing
			return keepPrivileges(fd, write)
		case kill && u.isRoot(&in.Caller):
			return keepSetID(fd, write)
		}
		if err := write(); err != nil || !kill {
			return err
		}
		return u.dropSetID(o, in.Gid)
	})
	return written, status
}

// keepPrivileges has a file keep the set-id bits and capabilities that write(2) takes from
// it: bits if we are not the host's root, capabilities always.
func keepPrivileges(fd int, write func() error) error {
	const name = "security.capability"
	var buf [64]byte // struct vfs_ns_cap_data of linux/capability.h has 24 bytes
	n, _ := unix.Fgetxattr(fd, name, buf[:])
	if err := keepSetID(fd, write); err != nil || n <= 0 {
		return err
	}
	return unix.Fsetxattr(fd, name, buf[:n], 0)
}

// CopyFileRange copies from file to file.
func (u *Union) CopyFileRange(_ <-chan struct{}, in *gofuse.CopyFileRangeIn) (copied uint32, _ gofuse.Status) {
	status := u.writing(in.NodeIdOut, unix.O_APPEND, func(_ *object, to int) error {
		from := u.object(in.NodeId)
		if from == nil {
			return unix.ESTALE
		}
		return u.file(from, func(fd int) error {
			at, toAt := int64(in.OffIn), int64(in.OffOut)
			n, err := unix.CopyFileRange(fd, &at, to, &toAt, int(min(in.Len, 1<<30)), 0)
			copied = uint32(max(n, 0))
			return err
		})
	})
	return copied, status
}

// Fallocate makes room, or holes.
func (u *Union) Fallocate(_ <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	return u.writing(in.NodeId, 0, func(_ *object, fd int) error {
		return unix.Fallocate(fd, in.Mode, int64(in.Offset), int64(in.Length))
	})
}

// Lseek finds data and holes.
func (u *Union) Lseek(_ <-chan struct{}, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	return u.reading(in.NodeId, func(_ *object, fd int) error {
		at, err := unix.Seek(fd, int64(in.Offset), int(in.Whence))
		out.Offset = uint64(at)
		return err
	})
}

// StatFs tells the room on the file system of upper.
func (u *Union) StatFs(_ <-chan struct{}, _ *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(u.opt.Upper.Fd()), &st); err != nil {
		return status(err)
	}
	*out = gofuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), NameLen: uint32(st.Namelen), Frsize: uint32(st.Frsize),
	}
	return gofuse.OK
}
