//go:build linux || darwin || freebsd || netbsd || openbsd

package unpack

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A kernel is the disk of the operating system. It sees to it that no part of a path
// is a symlink: one that somebody puts there meanwhile is an error and never a way out.
type kernel struct {
	root  *os.File
	walks atomic.Bool // there is no openat2(2)
	dirty *dirty      // what is to be synced one by one; nil if file systems are synced as a whole

	// renameWith renames with a flag: not replace. It may not know the flag.
	renameWith func(how renaming, olddir int, old string, dir int, name string) error
}

func openKernel(dir string) (disk, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	k := &kernel{root: f, renameWith: renameWith}
	if !canSyncWhole {
		k.dirty = &dirty{}
	}
	return k, nil
}

func (k *kernel) Close() error { return k.root.Close() }

// walk opens a name by its real path, each part in the directory before it.
func (k *kernel) walk(name string, flags int) (int, error) {
	fd, err := openIn(int(k.root.Fd()), ".", openDir)
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if err != nil {
			return -1, err
		}
		how := openDir
		if i == len(parts)-1 {
			how = flags
		}
		next, failed := openIn(fd, part, how)
		err = closing(fd, failed)
		fd = next
	}
	return fd, err
}

// openIn opens a name in a directory, unless it is a symlink.
func openIn(dir int, base string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case isSymlink(err):
			return -1, unix.ELOOP
		default:
			return fd, err
		}
	}
}

// in opens the directory that holds name and calls do with it and the last
// component.
func (k *kernel) in(name string, do func(dir int, base string) error) error {
	if name == "." {
		return do(int(k.root.Fd()), ".")
	}
	dir, err := k.open(path.Dir(name), openDir)
	if err != nil {
		return err
	}
	return closing(dir, do(dir, path.Base(name)))
}

func closing(fd int, err error) error { return errors.Join(err, unix.Close(fd)) }

// enter is in for a call that changes the directory.
func (k *kernel) enter(name string, do func(dir int, base string) error) error {
	err := k.in(name, do)
	if err == nil {
		k.dirty.mark(path.Dir(name))
	}
	return err
}

func (k *kernel) mkdir(name string, perm uint32) error {
	err := k.enter(name, func(dir int, base string) error { return unix.Mkdirat(dir, base, perm) })
	if err == nil {
		k.dirty.mark(name)
	}
	return err
}

func (k *kernel) symlink(target, name string) error {
	return k.enter(name, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

func (k *kernel) unlink(name string) error { return k.remove(name, 0) }

func (k *kernel) rmdir(name string) error { return k.remove(name, unix.AT_REMOVEDIR) }

func (k *kernel) remove(name string, flags int) error {
	err := k.enter(name, func(dir int, base string) error { return unix.Unlinkat(dir, base, flags) })
	if err == nil {
		k.dirty.take(name)
	}
	return err
}

func (k *kernel) link(old, name string) error {
	return k.enter(name, func(dir int, base string) error {
		return k.in(old, func(olddir int, oldbase string) error {
			return unix.Linkat(olddir, oldbase, dir, base, 0)
		})
	})
}

// rename does without flags where there are none: then what is at the new name is
// looked for first, and what comes there at the same instant is lost.
func (k *kernel) rename(old, name string, how renaming) error {
	err := k.enter(name, func(dir int, base string) error {
		return k.enter(old, func(olddir int, oldbase string) error {
			if how == replace {
				return unix.Renameat(olddir, oldbase, dir, base)
			}
			err := k.renameWith(how, olddir, oldbase, dir, base)
			if how == trade || !errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			var st unix.Stat_t
			switch err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); {
			case err == nil:
				return unix.EEXIST
			case !errors.Is(err, unix.ENOENT):
				return err
			}
			return unix.Renameat(olddir, oldbase, dir, base)
		})
	})
	if err == nil {
		k.dirty.move(old, name, how)
	}
	return err
}

func (k *kernel) create(name string) (f file, err error) {
	err = k.enter(name, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	if err == nil {
		k.dirty.mark(name)
	}
	return f, err
}

func (k *kernel) fsync(name string) error {
	fd, err := k.open(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	return errors.Join(f.Sync(), f.Close())
}

// syncDirty brings to the disk all that was changed since it was called last. What can
// not be opened, a symlink or what nobody may read, is left to sync(2), for which not
// every system waits.
func (k *kernel) syncDirty() error {
	closed := false
	err := k.dirty.each(".", func(name string) error {
		e, _, err := k.lstat(name, noHash)
		switch {
		case isMissing(err):
			return nil
		case err != nil:
			return err
		}
		if e.Mode.IsRegular() || e.Mode.IsDir() {
			err = k.fsync(name)
		} else {
			err = fs.ErrPermission
		}
		if errors.Is(err, fs.ErrPermission) {
			closed, err = true, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	if closed {
		unix.Sync()
	}
	*k.dirty = dirty{}
	return nil
}

func (k *kernel) lstat(name string, hash hashing) (e plist.Entry, inode capture.Inode, err error) {
	err = k.in(name, func(dir int, base string) error {
		var err error
		e, inode, err = capture.Lstat(dir, base)
		if err != nil || hash == noHash || !e.Mode.IsRegular() {
			return err
		}
		fd, err := openContent(dir, base)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		e.Digest, err = capture.Digest(f)
		return errors.Join(err, f.Close())
	})
	e.Xattrs = withoutMachines(e.Xattrs)
	return e, inode, err
}

func (k *kernel) exists(name string) (bool, error) {
	err := k.in(name, func(dir int, base string) error {
		var st unix.Stat_t
		return unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return err == nil, err
}

func (k *kernel) readDir(name string) ([]string, error) {
	fd, err := k.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

func (k *kernel) openFile(name string) (f content, err error) {
	err = k.in(name, func(dir int, base string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG { // to open a fifo may block
			return errors.New("is no regular file")
		}
		fd, err := openContent(dir, base)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, err
}

// whole returns all that a file holds, in memory that is the kernel's own if it can
// be, and what gives that back.
func whole(f content) (data []byte, release func() error, err error) {
	none := func() error { return nil }
	onDisk, ok := f.(*os.File)
	if !ok {
		data, err = io.ReadAll(f)
		return data, none, err
	}
	fi, err := onDisk.Stat()
	if err != nil || fi.Size() == 0 || fi.Size() > 1<<32 {
		return nil, none, err
	}
	data, err = unix.Mmap(int(onDisk.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	return data, func() error { return unix.Munmap(data) }, err
}

func (k *kernel) lock(name string) (io.Closer, error) {
	fd, err := k.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		return nil, closing(fd, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// A kernelVolume is a descriptor from before the first write: the kernel tells an
// error of writing back only to those (syncfs(2)).
type kernelVolume struct {
	k   *kernel
	dir int
	dev uint64
}

func (k *kernel) volume(dir string) (volume, error) {
	fd, err := k.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, closing(fd, err)
	}
	if k.dirty == nil && !syncsWhole(fd) {
		k.dirty = &dirty{}
	}
	return kernelVolume{k, fd, uint64(st.Dev)}, nil
}

func (v kernelVolume) id() uint64   { return v.dev }
func (v kernelVolume) Close() error { return unix.Close(v.dir) }

func (v kernelVolume) sync() error {
	if v.k.dirty != nil {
		return v.k.syncDirty()
	}
	return syncWhole(v.dir)
}

// hasHoles reports whether a file takes less of the disk than its size.
func hasHoles(f *os.File, size int64) bool {
	fi, err := f.Stat()
	return err == nil && fi.Sys().(*syscall.Stat_t).Blocks*512 < size
}
