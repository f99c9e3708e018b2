package unpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A kernel is the disk of the operating system. It sees to it that no part of a path
// is a symlink (openat2(2)): one that somebody puts there meanwhile is an error and
// never a way out.
type kernel struct{ root *os.File }

func openKernel(dir string) (*kernel, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &kernel{f}, nil
}

func (k *kernel) Close() error { return k.root.Close() }

const (
	pathOnly = unix.O_PATH | unix.O_NOFOLLOW
	readDir  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
)

// open opens a name by its real path. It tries again when a rename elsewhere confused
// the kernel (openat2(2), EAGAIN).
func (k *kernel) open(name string, flags uint64) (int, error) {
	how := &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(k.root.Fd()), name, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
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
	dir, err := k.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return closing(dir, do(dir, path.Base(name)))
}

func closing(fd int, err error) error { return errors.Join(err, unix.Close(fd)) }

func (k *kernel) mkdir(name string, perm uint32) error {
	return k.in(name, func(dir int, base string) error { return unix.Mkdirat(dir, base, perm) })
}

func (k *kernel) symlink(target, name string) error {
	return k.in(name, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

func (k *kernel) mknod(name string, like *plist.Entry) error {
	mode, dev := plist.UnixMode(like.Mode.Type())|0o600, unix.Mkdev(like.Major, like.Minor)
	return k.in(name, func(dir int, base string) error { return unix.Mknodat(dir, base, mode, int(dev)) })
}

func (k *kernel) unlink(name string) error {
	return k.in(name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

func (k *kernel) rmdir(name string) error {
	return k.in(name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}

func (k *kernel) link(old, name string) error {
	return k.in(name, func(dir int, base string) error {
		return k.in(old, func(olddir int, oldbase string) error {
			return unix.Linkat(olddir, oldbase, dir, base, 0)
		})
	})
}

var renameFlags = [...]uint{noReplace: unix.RENAME_NOREPLACE, replace: 0, trade: unix.RENAME_EXCHANGE}

func (k *kernel) rename(old, name string, how renaming) error {
	return k.in(name, func(dir int, base string) error {
		return k.in(old, func(olddir int, oldbase string) error {
			return unix.Renameat2(olddir, oldbase, dir, base, renameFlags[how])
		})
	})
}

func (k *kernel) create(name string) (f file, err error) {
	err = k.in(name, func(dir int, base string) error {
		const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := unix.Openat(dir, base, flags, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, err
}

func (k *kernel) fsync(name string) error {
	fd, err := k.open(name, unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	return closing(fd, unix.Fsync(fd))
}

func (k *kernel) lstat(name string, hash hashing) (e plist.Entry, inode capture.Inode, err error) {
	err = k.in(name, func(dir int, base string) error {
		var err error
		e, inode, err = capture.Lstat(dir, base)
		if err != nil || hash == noHash || !e.Mode.IsRegular() {
			return err
		}
		fd, err := capture.OpenAt(dir, base)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		e.Digest, err = capture.Digest(f)
		return errors.Join(err, f.Close())
	})
	e.Xattrs = withoutLayout(e.Xattrs)
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
	fd, err := k.open(name, readDir)
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
		fd, err := capture.OpenAt(dir, base)
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

func (k *kernel) space(dir string) (space, error) {
	fd, err := k.open(dir, readDir)
	if err != nil {
		return space{}, err
	}
	var st unix.Statfs_t
	err = closing(fd, unix.Fstatfs(fd, &st))
	return space{
		volume: uint64(uint32(st.Fsid.Val[0]))<<32 | uint64(uint32(st.Fsid.Val[1])),
		block:  uint64(max(st.Frsize, 1)), blocks: st.Bavail,
		files: st.Files, freeFiles: st.Ffree,
	}, err
}

func (k *kernel) lock(name string) (io.Closer, error) {
	fd, err := k.open(name, unix.O_RDONLY|unix.O_NOFOLLOW)
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
	dir int
	dev uint64
}

func (k *kernel) volume(dir string) (volume, error) {
	fd, err := k.open(dir, readDir)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, closing(fd, err)
	}
	return kernelVolume{fd, st.Dev}, nil
}

func (v kernelVolume) id() uint64   { return v.dev }
func (v kernelVolume) sync() error  { return unix.Syncfs(v.dir) }
func (v kernelVolume) Close() error { return unix.Close(v.dir) }

// A kernelInode is a descriptor opened with O_PATH.
type kernelInode int

func (k *kernel) inode(name string) (inode, error) {
	fd, err := k.open(name, pathOnly)
	return kernelInode(fd), err
}

func (n kernelInode) Close() error { return unix.Close(int(n)) }

// path leads to the file itself, even if it is a symlink.
func (n kernelInode) path() string { return "/proc/self/fd/" + strconv.Itoa(int(n)) }

func (n kernelInode) chown(uid, gid uint32) error {
	return unix.Fchownat(int(n), "", int(uid), int(gid), unix.AT_EMPTY_PATH)
}

func (n kernelInode) chmod(mode fs.FileMode) error {
	return unix.Chmod(n.path(), plist.UnixPerm(mode))
}

func (n kernelInode) utimens(modified time.Time) error {
	times := []unix.Timespec{
		{Nsec: unix.UTIME_OMIT},
		{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())},
	}
	return unix.UtimesNanoAt(int(n), "", times, unix.AT_EMPTY_PATH)
}

// setXattrs makes the extended attributes of the file, now, those that are wanted.
func (n kernelInode) setXattrs(now, want map[string]string) error {
	at := n.path()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := want[name]; ok || name == "security.selinux" { // a policy's own, by path
			continue
		}
		if err := unix.Removexattr(at, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := unix.Setxattr(at, name, []byte(want[name]), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setFlags puts the flags that are wanted in the place of those that a user may
// set and that are set now. The others are the file system's own.
func (n kernelInode) setFlags(now, want uint32) error {
	fd, err := unix.Open(n.path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	all, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(all&^now|want))
	}
	return closing(fd, err)
}

// withoutLayout leaves out the names under which XFS shows once more what
// system.posix_acl_access and _default are: setting those sets these.
func withoutLayout(xattrs map[string]string) map[string]string {
	maps.DeleteFunc(xattrs, func(name, _ string) bool {
		return name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
	})
	if len(xattrs) == 0 {
		return nil
	}
	return xattrs
}
