package trace

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A directory is what the recorder knows of one.
type directory struct {
	kind kind
	path string // entry path before the run

	record *inode // once it has one
}

// A kind of directory.
type kind uint8

const (
	kindOld     kind = iota // was there before
	kindNew                 // was made by the run, and so was all that is in it
	kindProcess             // a process's own in /proc
	kindPseudo              // shows the kernel
	kindOurs                // belongs to the journal
)

// directoryRecord records a directory in which a name comes or goes: its time
// changes.
func (r *recorder) directoryRecord(fd int, d *directory) (*inode, error) {
	if d.record != nil {
		return d.record, nil
	}
	k, st, err := keyOf(fd, "")
	if err != nil {
		return nil, err
	}
	if d.record = r.inodes[k]; d.record == nil {
		d.record, err = r.inode(spot{fd, ""}, d.path, k, &st, keepNothing)
	}
	return d.record, err
}

// directory finds out about a directory. Whether it was there before the run, and
// where, is told by those above it.
func (r *recorder) directory(fd int) (*directory, error) {
	k, _, err := keyOf(fd, "")
	if err != nil {
		return nil, err
	}
	if d := r.dirs[k]; d != nil {
		return d, nil
	}
	d, err := r.explore(fd, k)
	if err == nil {
		r.dirs[k] = d
	}
	return d, err
}

func (r *recorder) explore(fd int, k key) (*directory, error) {
	if in := r.inodes[k]; in != nil {
		return &directory{kind: kindOld, path: in.before.Path}, nil
	}
	if r.ours[k] {
		return &directory{kind: kindOurs}, nil
	}
	if k == r.paths.rootKey {
		return &directory{kind: kindOld, path: "."}, nil
	}
	if kind, err := pseudo(fd); err != nil || kind != kindOld {
		return &directory{kind: kind}, err
	}
	above, err := openPath(fd, "..", unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(above)
	parent, err := r.directory(above)
	if err != nil || parent.kind == kindNew || parent.kind == kindOurs {
		return parent, err
	}
	full, err := pathOf(fd)
	if err != nil {
		return nil, err
	}
	where := join(parent.path, path.Base(full))
	there, _, err := keyOf(above, path.Base(full))
	removed := err == unix.ENOENT || err == nil && there != k
	if _, touched := r.places[where]; touched || removed {
		return &directory{kind: kindNew}, nil
	}
	return &directory{kind: kindOld, path: where}, nil
}

// pseudoTypes are file systems that show the kernel (linux/magic.h).
var pseudoTypes = map[int64]bool{
	unix.SYSFS_MAGIC: true, unix.CGROUP_SUPER_MAGIC: true, unix.CGROUP2_SUPER_MAGIC: true, unix.DEBUGFS_MAGIC: true,
	unix.TRACEFS_MAGIC: true, unix.SECURITYFS_MAGIC: true, unix.BPF_FS_MAGIC: true, unix.PSTOREFS_MAGIC: true,
	unix.EFIVARFS_MAGIC: true, unix.SELINUX_MAGIC: true, unix.BINFMTFS_MAGIC: true, 0x62656570: true, // configfs
}

// pseudo tells directories that show the kernel from others.
func pseudo(fd int) (kind, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return kindOld, err
	}
	switch {
	case pseudoTypes[st.Type]:
		return kindPseudo, nil
	case st.Type != unix.PROC_SUPER_MAGIC:
		return kindOld, nil
	}
	full, err := pathOf(fd)
	if err != nil {
		return kindOld, err
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(full, "/proc/"), "/")
	if isNumber(first) {
		return kindProcess, nil
	}
	return kindPseudo, nil
}
