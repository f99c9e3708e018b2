package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

const openDir = unix.O_PATH | unix.O_DIRECTORY

const canSyncWhole = true

// open opens a name by its real path. It tries again when a rename elsewhere confused
// the kernel (openat2(2), EAGAIN). Before Linux 5.6 there is no such call, and where
// a filter of system calls does not know it that says EPERM.
func (k *kernel) open(name string, flags int) (int, error) {
	how := &unix.OpenHow{
		Flags:   uint64(flags) | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for !k.walks.Load() {
		fd, err := unix.Openat2(int(k.root.Fd()), name, how)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			k.walks.Store(true)
		default:
			return fd, err
		}
	}
	return k.walk(name, flags)
}

// isSymlink is for systems that have an error of their own for a symlink that is not
// followed.
func isSymlink(error) bool { return false }

func openContent(dir int, base string) (int, error) { return capture.OpenAt(dir, base) }

// renameWith is renameat2(2). A file system that does not know the flag says EINVAL.
func renameWith(how renaming, olddir int, old string, dir int, name string) error {
	if how == trade {
		if err := giveLabel(at(dir, name), at(olddir, old)); err != nil {
			return err
		}
	}
	err := unix.Renameat2(olddir, old, dir, name, renameFlags[how])
	if errors.Is(err, unix.EINVAL) {
		err = unix.ENOSYS
	}
	return err
}

// at leads to a name in an open directory.
func at(dir int, name string) string { return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name }

// giveLabel gives a file the label of another, if that has one and it is another.
func giveLabel(from, to string) error {
	var has, gets [4 << 10]byte // as long as a label can be
	n, err := unix.Lgetxattr(from, label, gets[:])
	if err != nil {
		return ignoreNoLabel(err)
	}
	if m, err := unix.Lgetxattr(to, label, has[:]); err == nil && string(has[:m]) == string(gets[:n]) {
		return nil
	}
	return ignoreNoLabel(unix.Lsetxattr(to, label, gets[:n], 0))
}

func ignoreNoLabel(err error) error {
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

var renameFlags = [...]uint{noReplace: unix.RENAME_NOREPLACE, trade: unix.RENAME_EXCHANGE}

func (k *kernel) mknod(name string, like *plist.Entry) error {
	mode, dev := plist.UnixMode(like.Mode.Type())|0o600, unix.Mkdev(like.Major, like.Minor)
	return k.enter(name, func(dir int, base string) error { return unix.Mknodat(dir, base, mode, int(dev)) })
}

// weak are the file systems whose server is somebody else's program: of these it is
// not known whether two names can be exchanged at once, nor whether syncfs(2) gets
// further than to that program (statfs(2)).
var weak = map[int64]bool{
	unix.FUSE_SUPER_MAGIC: true, unix.NFS_SUPER_MAGIC: true, unix.V9FS_MAGIC: true,
	unix.SMB_SUPER_MAGIC: true, unix.SMB2_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true,
	unix.CEPH_SUPER_MAGIC: true, unix.CODA_SUPER_MAGIC: true, unix.AFS_SUPER_MAGIC: true,
}

func syncsWhole(dir int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dir, &st) == nil && !weak[int64(st.Type)]
}

func syncWhole(dir int) error { return unix.Syncfs(dir) }

func (k *kernel) space(dir string) (space, error) {
	fd, err := k.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return space{}, err
	}
	var st unix.Statfs_t
	err = closing(fd, unix.Fstatfs(fd, &st))
	return space{
		volume: uint64(uint32(st.Fsid.Val[0]))<<32 | uint64(uint32(st.Fsid.Val[1])),
		block:  uint64(max(st.Frsize, 1)), blocks: st.Bavail,
		files: st.Files, freeFiles: st.Ffree,
		trades: !weak[int64(st.Type)],
	}, err
}

// A kernelInode is a descriptor opened with O_PATH.
type kernelInode struct {
	fd   int
	weak bool // see weak
}

func (k *kernel) inode(name string) (inode, error) {
	fd, err := k.open(name, unix.O_PATH)
	k.dirty.mark(name)
	return kernelInode{fd, k.dirty != nil}, err
}

func (n kernelInode) Close() error { return unix.Close(n.fd) }

// path leads to the file itself, even if it is a symlink.
func (n kernelInode) path() string { return "/proc/self/fd/" + strconv.Itoa(n.fd) }

func (n kernelInode) chown(uid, gid uint32) error {
	return unix.Fchownat(n.fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH)
}

func (n kernelInode) chmod(mode fs.FileMode) error {
	return unix.Chmod(n.path(), plist.UnixPerm(mode))
}

func (n kernelInode) utimens(modified time.Time) error {
	accessed := int64(unix.UTIME_OMIT)
	if n.weak { // libfuse 2 forgets a time that comes alone
		accessed = unix.UTIME_NOW
	}
	times := []unix.Timespec{
		{Nsec: accessed},
		{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())},
	}
	return unix.UtimesNanoAt(n.fd, "", times, unix.AT_EMPTY_PATH)
}

// setXattrs makes the extended attributes of the file, now, those that are wanted.
func (n kernelInode) setXattrs(now, want map[string]string) error {
	at := n.path()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := want[name]; ok {
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
