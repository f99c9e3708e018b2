//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package hashdiff

import (
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A dir is an open directory. It is closed when the last who holds it lets go.
type dir struct {
	file *os.File
	held atomic.Int32
}

func newDir(f *os.File) *dir {
	d := &dir{file: f}
	d.held.Store(1)
	return d
}

func (d *dir) fd() int { return int(d.file.Fd()) }

func openDir(path string) (*dir, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return newDir(f), nil
}

func (d *dir) open(name string) (*dir, error) {
	f, err := d.openFile(name)
	if err != nil {
		return nil, err
	}
	return newDir(f), nil
}

func (d *dir) release() {
	if d.held.Add(-1) == 0 {
		d.file.Close() //nolint:errcheck // only read
	}
}

// list returns the names in the directory, in no order.
func (d *dir) list([]byte) ([]name, error) {
	found, err := d.file.ReadDir(-1)
	return namesOf(found), err
}

// stat reads the stamp and the mode of a name.
func (d *dir) stat(name string) (Stamp, fs.FileMode, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Stamp{}, 0, err
	}
	s := Stamp{
		Inode:   capture.Inode{Dev: uint64(st.Dev), Ino: uint64(st.Ino), Nlink: uint32(st.Nlink)},
		Size:    st.Size,
		ModTime: timeOf(st.Mtim),
		Changed: timeOf(st.Ctim),
	}
	return s, plist.ModeFromUnix(uint32(st.Mode)), nil
}

func timeOf(ts unix.Timespec) Time {
	sec, nsec := ts.Unix()
	return Time{sec, uint32(nsec)}
}

// lstat reads the attributes of a name; with an error, those it could.
func (d *dir) lstat(name string) (plist.Entry, error) {
	e, _, err := capture.Lstat(d.fd(), name)
	return e, err
}

func (d *dir) openFile(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// isPseudo reports whether the directory is of a file system that shows the
// kernel, and not files.
func (d *dir) isPseudo() (bool, error) {
	name, err := fileSystem(d.fd())
	return pseudo[name], err
}

// pseudo are the names of file systems without files of their own: mount_procfs(8)
// and its like.
var pseudo = map[string]bool{
	"procfs": true, "linprocfs": true, "linsysfs": true, "fdesc": true, "fdescfs": true, "devfs": true,
	"kernfs": true, "ptyfs": true, "autofs": true, "mqueuefs": true,
}
