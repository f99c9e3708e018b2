//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package capture

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Lstat reads the attributes of a name in an open directory, as they are for the
// name itself and not for what a symlink points to. Of the entry it leaves Op,
// Path and Digest to the caller; it knows no extended attributes and no inode
// flags of this system.
func Lstat(dir int, name string) (plist.Entry, Inode, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return plist.Entry{}, Inode{}, err
	}
	e := plist.Entry{
		Mode:    plist.ModeFromUnix(uint32(st.Mode)),
		UID:     st.Uid,
		GID:     st.Gid,
		ModTime: time.Unix(st.Mtim.Unix()),
	}
	if e.Mode.IsRegular() {
		e.Size = st.Size
	}
	if e.Mode&fs.ModeDevice != 0 {
		e.Major, e.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	}
	inode := Inode{uint64(st.Dev), uint64(st.Ino), uint32(st.Nlink)}
	var err error
	if e.Mode.Type() == fs.ModeSymlink {
		e.Link, err = readlink(dir, name)
	}
	return e, inode, err
}
