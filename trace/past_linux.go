package trace

import (
	"cmp"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A past is what was, where the run touched it. What is not in it is as it was.
type past struct {
	inodes map[key]*inode
	byID   map[int]*inode
	places map[string]*inode // by entry path; nil if there was nothing
	moves  []move            // in the order they were asked for

	volumes map[uint64]*volume // by device
}

// A key tells an inode from all that were or will be.
type key struct {
	dev, ino uint64
	born     int64 // in nanoseconds; 0 where the file system does not tell, or what it tells changes
}

// An inode is one that was there before the run, as it was.
type inode struct {
	key
	id     int         // number of its record
	before plist.Entry // Path is the first by which it was met
	nlink  uint32
	link   bool // kept by a link
	copy   bool // its content is kept by a copy
	spared bool // there is room to record that it is moved back
}

// A move is the renaming of a directory, by current host paths. Whether it was
// carried out, nobody saw.
type move struct{ from, to string }

func newPast() *past {
	return &past{inodes: make(map[key]*inode), byID: make(map[int]*inode), places: make(map[string]*inode), volumes: make(map[uint64]*volume)}
}

func (p *past) meet(in *inode) {
	p.inodes[in.key], p.byID[in.id], p.places[in.before.Path] = in, in, in
}

// keyOf reads the key and the kind of a name; name "" is the directory itself.
func keyOf(dir int, name string) (key, unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	k := key{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 && (st.Dev_major != 0 || !isOverlay(dir, name)) {
		k.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return k, st, err
}

// isOverlay reports whether a name leads to an overlay: there a copy-up gives an old file
// another time of birth. What can not be asked may be one.
func isOverlay(dir int, name string) bool {
	fd, err := openPath(dir, cmp.Or(name, "."), unix.O_NOFOLLOW)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	var st unix.Statfs_t
	err = unix.Fstatfs(fd, &st)
	return err != nil || st.Type == unix.OVERLAYFS_SUPER_MAGIC
}

// reach returns a spot for a path, which may be longer than the kernel takes at
// once, and what to do when it is not needed any more. (What was there before has
// no such path: see tooLong.)
func reach(dir int, name string) (spot, func(), error) {
	if len(name) < unix.PathMax {
		return spot{dir, name}, func() {}, nil
	}
	fd, err := capture.OpenDir(dir, path.Dir(name))
	if err != nil {
		return spot{}, nil, err
	}
	s := spot{fd, path.Base(name)}
	return s, s.close, nil
}

// openAt opens a regular file or directory to read, as capture.OpenAt does, by a path
// of any length.
func openAt(dir int, name string) (*os.File, error) {
	s, done, err := reach(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	fd, err := capture.OpenAt(s.dir, s.name)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func isType(st *unix.Statx_t, typ uint16) bool { return st.Mode&unix.S_IFMT == typ }

func timeOf(sec int64, nsec int) time.Time { return time.Unix(sec, int64(nsec)) }

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
