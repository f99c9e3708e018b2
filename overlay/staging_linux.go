package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
)

// stagingPrefix begins the name of every staging directory.
const stagingPrefix = ".sandbox-install-"

// A staging holds the upper, work and skeleton directories of one run.
type staging struct {
	flavour
	dir    *os.File // locked, unless it is the root of a tmpfs
	parent *os.File // what dir is in; nil for a tmpfs
	tmpfs  *os.File // the detached mount, which ends with this descriptor; else nil
	path   string   // "" for a tmpfs: no path leads to it
	next   int
	chosen bool // by the user

	before, made []unix.Timespec // of the directory that path is in: access and modification times
}

// newStaging makes a staging directory in the first place that can hold the
// upper layer of an overlay: where the user says, else the first of the usual
// ones, else in memory.
func newStaging(chosen string, f flavour) (*staging, error) {
	places := []string{chosen}
	if chosen == "" {
		places = usualPlaces()
	}
	var refused []error
	for _, dir := range places {
		s, err := stageIn(dir, f)
		if err == nil {
			s.chosen = chosen != ""
			return s, nil
		}
		if errors.Is(err, unix.EPERM) { // lacking privilege, nowhere else either
			return nil, err
		}
		refused = append(refused, fmt.Errorf("%s: %w", dir, err))
	}
	if chosen == "" {
		s, err := stageInMemory(f)
		if err == nil {
			return s, nil
		}
		refused = append(refused, fmt.Errorf("a tmpfs: %w", err))
	}
	return nil, fmt.Errorf("%w: %w", errNoStaging, errors.Join(refused...))
}

var errNoStaging = errors.New("no directory can hold the upper layers")

// usualPlaces lists them from the most room to the least. Of memory there is more in a
// tmpfs of our own than in a container's /dev/shm.
func usualPlaces() []string {
	places := []string{"/var/tmp", "/tmp"}
	if dir := os.Getenv("TMPDIR"); filepath.IsAbs(dir) {
		places = append([]string{dir}, places...)
	}
	return places
}

// stageIn makes a staging directory in dir, and removes dead ones.
func stageIn(dir string, f flavour) (*staging, error) {
	dir, err := filepath.EvalSymlinks(dir) // the place of the cover inside
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := capture.SweepStaging(dir, stagingPrefix); err != nil {
		return nil, err
	}
	before, err := times(dir)
	if err != nil {
		return nil, err
	}
	locked, _, err := capture.LockedStaging(dir, stagingPrefix)
	if err != nil {
		return nil, err
	}
	s := &staging{dir: locked, path: locked.Name(), flavour: f, before: before}
	if s.parent, err = os.Open(dir); err != nil {
		return nil, errors.Join(err, os.Remove(s.path), locked.Close())
	}
	if s.made, err = times(dir); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := s.try(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// stageInMemory makes a tmpfs that is mounted nowhere.
func stageInMemory(f flavour) (*staging, error) {
	mnt, err := newMount(fsContext{fstype: "tmpfs", options: []string{"mode=0700"}})
	if err != nil {
		return nil, err
	}
	s := &staging{flavour: f, tmpfs: mnt}
	// A mount's own descriptor is O_PATH: open its root for reading.
	if s.dir, err = os.Open(procFD(mnt)); err != nil {
		return nil, errors.Join(err, mnt.Close())
	}
	if err := s.try(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// inMemory says that what is written is kept there, which nobody asked for; else "".
func (s *staging) inMemory() string {
	var st unix.Statfs_t
	if s.chosen || unix.Fstatfs(int(s.dir.Fd()), &st) != nil || st.Type != unix.TMPFS_MAGIC {
		return ""
	}
	return fmt.Sprintf("what is written is kept in memory, where there is room for %d MiB; --staging names a directory on a disk", st.Bavail*uint64(st.Bsize)>>20)
}

// full says that there is no room left; "" if there is.
func (s *staging) full() string {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(s.dir.Fd()), &st)
	if err != nil || st.Bavail*uint64(st.Bsize) >= 1<<20 && (st.Files == 0 || st.Ffree > 16) { // btrfs counts no files
		return ""
	}
	where := "memory"
	if s.tmpfs == nil {
		where = filepath.Dir(s.path)
	}
	return fmt.Sprintf("there is no room left in %s, where what is written is kept; --staging names another directory", where)
}

// try mounts an overlay on the staging directory and nobody else.
func (s *staging) try() error {
	if s.fuse {
		return s.tryUnion()
	}
	t, err := s.room("upper", "work", "lower")
	if err != nil {
		return err
	}
	defer t.close()
	m, err := mountOverlay([]string{t.path("lower")}, t, 0)
	if err != nil {
		return err
	}
	if err := m.Close(); err != nil {
		return err
	}
	return s.tryXattrs(t)
}

// tryXattrs sets an attribute in upper: without them no directory can be replaced
// (overlayfs.rst).
func (s *staging) tryXattrs(t *room) error {
	if err := unix.Setxattr(t.path("upper"), s.privateXattrs()+"sandbox-install", []byte("y"), 0); err != nil {
		kind, _, _ := strings.Cut(s.privateXattrs(), ".")
		return fmt.Errorf("set a %s attribute: %w", kind, err)
	}
	return nil
}

// A room is a numbered directory in the staging area: no name in it comes from
// the host but that of a copied file.
type room struct {
	*os.File
	flavour
}

// room makes the next one, with empty directories in it.
func (s *staging) room(dirs ...string) (*room, error) {
	s.next++
	name := strconv.Itoa(s.next)
	at := int(s.dir.Fd())
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	r := &room{os.NewFile(uintptr(fd), name), s.flavour}
	for _, dir := range dirs {
		if err := unix.Mkdirat(fd, dir, 0o755); err != nil {
			r.close()
			return nil, &fs.PathError{Op: "mkdir", Path: dir, Err: err}
		}
	}
	return r, nil
}

// path is a name for what is in the room that needs no path to the room.
func (r *room) path(name string) string { return procFD(r.File) + "/" + name }

func (r *room) close() { _ = r.Close() } // only read

// remove removes the staging directory, and gives the one that it was in the times
// that it had, unless somebody else changed it meanwhile.
func (s *staging) remove() error {
	defer s.dir.Close()
	if s.tmpfs != nil {
		return s.tmpfs.Close()
	}
	defer s.parent.Close()
	// By descriptor: who stands in another root sees something else at the path.
	parent := procFD(s.parent)
	now, err := times(parent)
	dir := filepath.Join(parent, filepath.Base(s.path))
	unlinkFiles(dir)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	if s.made == nil || now[1] != s.made[1] {
		return nil
	}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, parent, s.before, 0)
	if err == unix.EPERM { // not the owner: it was open to all, as /tmp is
		return nil
	}
	return err
}

// times returns a directory's access and modification times.
func times(dir string) ([]unix.Timespec, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return []unix.Timespec{st.Atim, st.Mtim}, nil
}
