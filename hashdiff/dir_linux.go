package hashdiff

import (
	"encoding/binary"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A dir is an open directory. It is closed when the last who holds it lets go.
type dir struct {
	fd   int
	held atomic.Int32
}

func newDir(fd int) *dir {
	d := &dir{fd: fd}
	d.held.Store(1)
	return d
}

func openDir(path string) (*dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return newDir(fd), nil
}

func (d *dir) open(name string) (*dir, error) {
	fd, err := capture.OpenAt(d.fd, name)
	if err != nil {
		return nil, err
	}
	return newDir(fd), nil
}

func (d *dir) release() {
	if d.held.Add(-1) == 0 {
		unix.Close(d.fd)
	}
}

// list returns the names in the directory, in no order.
func (d *dir) list(buf []byte) ([]name, error) {
	var names []name
	for {
		n, err := unix.ReadDirent(d.fd, buf)
		if err != nil || n == 0 {
			return names, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			// struct linux_dirent64 of getdents(2): ino and off of 8 bytes, reclen
			// of 2, type of 1, then the name, padded with NULs.
			size := binary.NativeEndian.Uint16(rest[16:])
			kind := kindFile
			switch rest[18] {
			case unix.DT_DIR:
				kind = kindDir
			case unix.DT_UNKNOWN:
				kind = kindUnknown
			}
			if s := unix.ByteSliceToString(rest[19:size]); s != "." && s != ".." {
				names = append(names, name{s, kind})
			}
			rest = rest[size:]
		}
	}
}

// stat reads the stamp and the mode of a name.
func (d *dir) stat(name string) (Stamp, fs.FileMode, error) {
	var st unix.Statx_t
	err := unix.Statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if err != nil {
		return Stamp{}, 0, err
	}
	s := Stamp{
		Inode:   capture.Inode{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Nlink: st.Nlink},
		Size:    int64(st.Size),
		ModTime: Time{st.Mtime.Sec, st.Mtime.Nsec},
		Changed: Time{st.Ctime.Sec, st.Ctime.Nsec},
		Born:    Time{st.Btime.Sec, st.Btime.Nsec},
	}
	return s, plist.ModeFromUnix(uint32(st.Mode)), nil
}

// lstat reads the attributes of a name; with an error, those it could.
func (d *dir) lstat(name string) (plist.Entry, error) {
	e, _, err := capture.Lstat(d.fd, name)
	return e, err
}

func (d *dir) openFile(name string) (*os.File, error) {
	fd, err := capture.OpenAt(d.fd, name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// isPseudo reports whether the directory is of a file system that shows the
// kernel, and not files.
func (d *dir) isPseudo() (bool, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &st); err != nil {
		return false, err
	}
	return pseudo[uint32(st.Type)], nil
}

// pseudo are the magic numbers (linux/magic.h, statfs(2)) of file systems without
// files of their own.
var pseudo = map[uint32]bool{
	unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true, unix.CGROUP_SUPER_MAGIC: true, unix.CGROUP2_SUPER_MAGIC: true,
	unix.DEBUGFS_MAGIC: true, unix.TRACEFS_MAGIC: true, unix.BPF_FS_MAGIC: true, unix.SECURITYFS_MAGIC: true,
	unix.SELINUX_MAGIC: true, unix.SMACK_MAGIC: true, unix.PSTOREFS_MAGIC: true, unix.EFIVARFS_MAGIC: true,
	unix.BINFMTFS_MAGIC: true, unix.HUGETLBFS_MAGIC: true, unix.NSFS_MAGIC: true, unix.DEVPTS_SUPER_MAGIC: true,
	unix.AUTOFS_SUPER_MAGIC: true,
	0x62656570:              true, // configfs
	0x65735543:              true, // fusectl
	0x19800202:              true, // mqueue
	0x67596969:              true, // rpc_pipefs
	0x6e667364:              true, // nfsd
	0x07655821:              true, // resctrl
}
