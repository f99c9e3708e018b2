package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// userFlags are the inode flags of linux/fs.h that somebody chose: what chattr(1)
// sets. The rest describe how a file system stores the file (extents, inline
// data, hashed directory, encryption) and differ between two that hold the same.
const userFlags = 0x00000001 | // FS_SECRM_FL, s
	0x00000002 | // FS_UNRM_FL, u
	0x00000004 | // FS_COMPR_FL, c
	0x00000008 | // FS_SYNC_FL, S
	0x00000010 | // FS_IMMUTABLE_FL, i
	0x00000020 | // FS_APPEND_FL, a
	0x00000040 | // FS_NODUMP_FL, d
	0x00000080 | // FS_NOATIME_FL, A
	0x00000400 | // FS_NOCOMP_FL, m
	0x00004000 | // FS_JOURNAL_DATA_FL, j
	0x00008000 | // FS_NOTAIL_FL, t
	0x00010000 | // FS_DIRSYNC_FL, D
	0x00020000 | // FS_TOPDIR_FL, T
	0x00800000 | // FS_NOCOW_FL, C
	0x02000000 | // FS_DAX_FL, x
	0x20000000 | // FS_PROJINHERIT_FL, P
	0x40000000 // FS_CASEFOLD_FL, F

// Lstat reads all attributes of a name in an open directory, as they are for the
// name itself and not for what a symlink points to. Of the entry it leaves Op,
// Path and Digest to the caller. A descriptor opened with O_PATH will do for dir.
//
// Extended attributes are those that the caller's privileges show: without
// CAP_SYS_ADMIN none of trusted.*.
func Lstat(dir int, name string) (plist.Entry, Inode, error) {
	e, inode, err := LstatQuick(dir, name)
	if err != nil || !needsOpen(&e) {
		return e, inode, err
	}
	fd, err := OpenAt(dir, name)
	if err != nil {
		return e, inode, err
	}
	defer unix.Close(fd)
	return e, inode, ReadAttributes(&e, fd)
}

// LstatQuick is Lstat without what is only to be had by opening the file. Who is
// to open it anyway reads that by ReadAttributes.
func LstatQuick(dir int, name string) (plist.Entry, Inode, error) {
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &st)
	if err != nil {
		return plist.Entry{}, Inode{}, err
	}
	e := entryFromStatx(&st)
	if e.Mode.Type() == fs.ModeSymlink {
		e.Link, err = readlink(dir, name)
	}
	if err == nil && !needsOpen(&e) {
		e.Xattrs, err = xattrsByName(dir, name)
	}
	return e, Inode{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, st.Nlink}, err
}

// needsOpen reports whether a file has attributes that are only to be had by
// opening it. Anything else must not be opened: it may block, or act.
func needsOpen(e *plist.Entry) bool { return e.Mode.IsRegular() || e.Mode.IsDir() }

func entryFromStatx(st *unix.Statx_t) plist.Entry {
	e := plist.Entry{
		Mode:    plist.ModeFromUnix(uint32(st.Mode)),
		UID:     st.Uid,
		GID:     st.Gid,
		ModTime: time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)),
	}
	if e.ModTime.IsZero() { // the first moment of year 1: an entry without a time is none that is there
		e.ModTime = e.ModTime.Add(1)
	}
	if e.Mode.IsRegular() {
		e.Size = int64(st.Size)
	}
	if e.Mode&fs.ModeDevice != 0 {
		e.Major, e.Minor = st.Rdev_major, st.Rdev_minor
	}
	return e
}

// ReadAttributes sets the extended attributes and inode flags of an open regular
// file or directory.
func ReadAttributes(e *plist.Entry, fd int) (err error) {
	e.Xattrs, err = readXattrs(
		func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Fgetxattr(fd, attr, buf) })
	if err != nil {
		return err
	}
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil && !isUnsupported(err) {
		return fmt.Errorf("FS_IOC_GETFLAGS: %w", err)
	}
	e.Flags = flags & userFlags
	return nil
}

// OpenAt opens a regular file or directory to read, leaving its access time
// alone where the kernel lets us, which is for the owner and CAP_FOWNER (open(2)).
// It does not wait for the writer of a fifo that took the name meanwhile, but for
// whoever has a lease on the file (fcntl(2), F_SETLEASE).
func OpenAt(dir int, name string) (int, error) {
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_LARGEFILE | unix.O_NONBLOCK | unix.O_NOATIME
	for {
		fd, err := unix.Openat(dir, name, flags, 0)
		switch {
		case errors.Is(err, unix.EPERM) && flags&unix.O_NOATIME != 0:
			flags &^= unix.O_NOATIME
		case errors.Is(err, unix.EAGAIN) && flags&unix.O_NONBLOCK != 0:
			flags &^= unix.O_NONBLOCK
		default:
			return fd, err
		}
	}
}

// xattrsByName reads the attributes of what can not be opened. No descriptor
// opened with O_PATH takes the f calls, so the directory's goes through /proc
// (listxattrat(2) is of Linux 6.13).
func xattrsByName(dir int, name string) (map[string]string, error) {
	path := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
	return readXattrs(
		func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Lgetxattr(path, attr, buf) })
}

// readXattrs reads all extended attributes, given a call that lists their names
// and one that gets a value.
func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string]string, error) {
	names, err := sized(list)
	if isUnsupported(err) || len(names) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list xattrs: %w", err)
	}
	attrs := make(map[string]string)
	for attr := range strings.SplitSeq(string(bytes.TrimSuffix(names, []byte{0})), "\x00") {
		if strings.HasPrefix(attr, "trusted.SGI_ACL_") {
			continue // XFS shows ACLs a second time, as it stores them (xfs_xattr.c)
		}
		value, err := sized(func(buf []byte) (int, error) { return get(attr, buf) })
		if err != nil {
			return nil, fmt.Errorf("xattr %q: %w", attr, err)
		}
		attrs[attr] = string(value)
	}
	if len(attrs) == 0 {
		return nil, nil
	}
	return attrs, nil
}

// sized calls read for the size it needs, and then with a buffer of that size, until
// nothing has grown in between. Most files have no attributes and need no buffer.
func sized(read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		n, err = read(buf)
		if !errors.Is(err, unix.ERANGE) {
			return buf[:max(n, 0)], err
		}
	}
}

func isUnsupported(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENOSYS)
}
