package trace

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A journal is a directory on disk:
//
//	lock     locked while the run lives
//	log/N    the records from number N on, counted from 1: an attribute of a file, or
//	         one as the target of a symlink
//	kept/N   what the inode of record N held: a hard link or a copy
//	after/N  what the run wrote, for the result
//	spare/N  room for the records of rolling back, should the disk be full then
//	above    a symlink to the text of a capture.Above
//
// Links on other file systems are in rooms of their own, hidden directories there.
//
// A record is in an attribute, or a symlink, since that takes one operation on
// metadata: ext4, XFS and the overlays on them bring such to the disk in order, so that
// what a record is about never is there without it, and nothing has to wait for the
// disk. Elsewhere, of what is on other file systems, of contents, and where a record is
// too long, it is waited for.
type journal struct {
	path string
	lock *os.File
	log  *os.File
	kept *os.File
	last int // number of the last record

	batch *os.File // to which attribute the next record goes; nil if a new one is to be made
	text  []byte   // the attribute
	plain bool     // there are no attributes here

	spares int // how many there were made

	rooms   map[uint64]*room  // by device, where kept can have no links
	devices map[uint64]uint64 // numbers of recorded devices now; noDevice of those that are gone

	device    uint64
	unordered bool // the file system orders nothing: wait
	wait      bool // for the disk, before the next change
}

// The names of journals, and of what is to be one.
const (
	journalPrefix = "sandbox-install-trace-"
	unbornPrefix  = "sandbox-install-new-trace-"
)

// defaultStaging outlives a reboot (file-hierarchy(7)).
func defaultStaging(dir string) string {
	if dir != "" {
		return dir
	}
	if st, err := os.Stat("/var/tmp"); err == nil && st.IsDir() {
		return "/var/tmp"
	}
	return os.TempDir()
}

func newJournal(dir string) (*journal, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	j, err := makeJournal(dir)
	if err == nil {
		err = j.addSpares()
	}
	if err == nil {
		err = syncDirs(j.path, dir)
	}
	if err != nil && j != nil {
		err = errors.Join(err, j.close(), os.RemoveAll(j.path))
	}
	return j, err
}

// makeJournal makes a journal under another name: by its own, which it gets when it is
// locked, others could take it for that of a killed run.
func makeJournal(dir string) (j *journal, err error) {
	if err := capture.SweepStaging(dir, unbornPrefix); err != nil {
		return nil, err
	}
	unborn, above, err := capture.LockedStaging(dir, unbornPrefix)
	if err != nil {
		return nil, err
	}
	defer unborn.Close() //nolint:errcheck // only its lock was of use
	for _, sub := range []string{"log", "kept", "after", "spare"} {
		if err == nil {
			err = os.Mkdir(filepath.Join(unborn.Name(), sub), 0o700)
		}
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(unborn.Name(), "lock"), nil, 0o600)
	}
	if err == nil {
		j, err = openJournal(unborn.Name())
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(unborn.Name()))
	}
	path := filepath.Join(dir, journalPrefix+rand.Text())
	if err := os.Rename(j.path, path); err != nil {
		return nil, errors.Join(err, j.close(), os.RemoveAll(j.path))
	}
	j.path = path
	st, err := os.Stat(dir)
	if err == nil {
		above.Made = st.ModTime()
		err = os.Symlink(above.String(), filepath.Join(path, "above"))
	}
	return j, err
}

// errAlive says that the run of a journal is not over.
var errAlive = errors.New("in use by another process")

// openJournal opens and locks a journal.
func openJournal(path string) (*journal, error) { return lockJournal(path, unix.LOCK_EX) }

// lockJournal opens and locks a journal, for this process alone or to look whether any
// other has it.
func lockJournal(path string, how int) (j *journal, err error) {
	j = &journal{path: path, rooms: make(map[uint64]*room), devices: make(map[uint64]uint64)}
	if j.lock, err = os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(j.lock.Fd()), how|unix.LOCK_NB); err != nil {
		return nil, errors.Join(errAlive, j.lock.Close())
	}
	if j.log, err = os.Open(filepath.Join(path, "log")); err == nil {
		j.kept, err = os.Open(filepath.Join(path, "kept"))
	}
	if err == nil {
		j.unordered, err = isUnordered(j.log)
	}
	if err == nil {
		var k key
		k, _, err = keyOf(int(j.log.Fd()), "")
		j.device = k.dev
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// isUnordered reports whether operations on metadata may reach the disk in another
// order than they were done.
func isUnordered(f *os.File) (bool, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	return !slices.Contains([]int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.TMPFS_MAGIC}, st.Type), err
}

func (j *journal) close() error {
	var errs []error
	for _, f := range []*os.File{j.batch, j.log, j.kept, j.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// forget gives up what was kept for the result.
func (j *journal) forget() error { return os.RemoveAll(filepath.Join(j.path, "after")) }

// disarm says that there is nothing left to roll back, and lets go of what was kept.
func (j *journal) disarm() error {
	if err := os.Rename(filepath.Join(j.path, "log"), filepath.Join(j.path, "done")); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(j.path, "kept"))
}

// remove takes the journal away: first what makes it one, so that what is half
// removed is not taken for a journal.
func (j *journal) remove() error {
	err := j.disarm()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, removeJournal(j.path), j.close())
}

// removeJournal removes what is left of a journal when it is none any more.
func removeJournal(path string) error {
	text, _ := os.Readlink(filepath.Join(path, "above")) // there is none if its making was interrupted
	above, _ := capture.ParseAbove(text)
	return above.Removing(path, func() error { return os.RemoveAll(path) })
}

func syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// step is called before each step that changes the journal or the live tree; a test
// is killed there.
var step = func() {}

// add writes the next record. Before what it is about may be changed: flush.
func (j *journal) add(text string) error {
	step()
	err := j.append(text)
	if err == errNoBatch {
		err = j.addAlone(text)
	}
	if err != nil {
		return err
	}
	j.last++
	j.wait = j.wait || j.unordered
	return nil
}

// addAlone writes a record that is a symlink, or, being too long, a file.
func (j *journal) addAlone(text string) error {
	if err := j.endBatch(); err != nil {
		return err
	}
	name := strconv.Itoa(j.last + 1)
	err := unix.Symlinkat(text, int(j.log.Fd()), name)
	if err == unix.ENAMETOOLONG {
		j.wait = true
		err = writeSynced(filepath.Join(j.path, "log", name), text)
	}
	return err
}

// flush waits until the records are on the disk, if need be. With the last one are all
// others, where they are in order.
func (j *journal) flush() error {
	if !j.wait {
		return nil
	}
	j.wait = false
	if j.batch != nil {
		return j.batch.Sync()
	}
	return j.log.Sync()
}

// addSpares makes room for what rolling back a renamed directory may have to write
// (it is parked, then moved), and for the growth of directories: symlinks that take
// a block, as a record does. XFS has none longer than 1024 bytes.
func (j *journal) addSpares() error {
	for range 3 {
		name := filepath.Join(j.path, "spare", strconv.Itoa(j.spares))
		if err := os.Symlink(strings.Repeat("-", 1000), name); err != nil {
			return err
		}
		j.spares++
	}
	return nil
}

// addAtLast is add for when no room can be made but by giving up what is spare.
func (j *journal) addAtLast(text string) error {
	spare, err := os.ReadDir(filepath.Join(j.path, "spare"))
	if err != nil {
		return err
	}
	for {
		if err = j.add(text); err == nil {
			return j.flush()
		}
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) || len(spare) == 0 {
			return err
		}
		if err := os.Remove(filepath.Join(j.path, "spare", spare[0].Name())); err != nil {
			return err
		}
		spare = spare[1:]
	}
}

func writeSynced(name, text string) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (j *journal) copyPath(in *inode) string {
	return filepath.Join(j.path, "kept", strconv.Itoa(in.id)+"c")
}

// linkAt is where the link of an inode is kept.
func (j *journal) linkAt(in *inode) spot {
	dir := j.kept
	if room := j.rooms[in.dev]; room != nil {
		dir = room.dir
	}
	return spot{int(dir.Fd()), strconv.Itoa(in.id)}
}

// link keeps an inode itself by one more name for it.
func (j *journal) link(s spot, in *inode) error {
	to := j.linkAt(in)
	step()
	err := unix.Linkat(s.dir, s.name, to.dir, to.name, 0)
	unordered := j.unordered
	if room := j.rooms[in.dev]; room != nil {
		unordered = room.unordered
	}
	if err == nil && unordered {
		err = unix.Fsync(to.dir)
	}
	return err
}

// unlink takes back link.
func (j *journal) unlink(in *inode) error {
	at := j.linkAt(in)
	return unix.Unlinkat(at.dir, at.name, 0)
}

// A room is where links are kept on another file system.
type room struct {
	path string // host path
	dir  *os.File

	unordered bool // as journal.unordered
}

// addRoom makes a room in a directory.
func (j *journal) addRoom(device uint64, parent string) (*room, error) {
	r := &room{path: filepath.Join(parent, "."+filepath.Base(j.path))}
	err := j.addJSON(recordRoom, roomRecord{device, []byte(r.path)})
	if err == nil {
		j.wait = true // it is on another disk
		err = j.flush()
	}
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.path, 0o700); err != nil {
		return nil, err
	}
	return r, j.openRoom(device, r)
}

func (j *journal) openRoom(device uint64, r *room) (err error) {
	if r.dir, err = os.Open(r.path); err == nil {
		j.rooms[device] = r
		r.unordered, err = isUnordered(r.dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it was recorded and not made, or is removed
	}
	return err
}

// owns reports whether a host path is the journal's, or a room's.
func (j *journal) owns(path string) bool {
	for _, r := range j.rooms {
		if r.path == path {
			return true
		}
	}
	return j.path == path
}

// removeRooms takes the rooms away, when all that was in them is back.
func (j *journal) removeRooms() error {
	var errs []error
	for device, r := range j.rooms {
		errs = append(errs, r.dir.Close(), os.RemoveAll(r.path))
		delete(j.rooms, device)
	}
	return errors.Join(errs...)
}

// copy keeps the content of a regular file. Contents reach the disk in any order, and
// so the record of it is waited for.
func (j *journal) copy(from *os.File, in *inode) error {
	to, err := os.OpenFile(j.copyPath(in), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	j.wait = true
	err = capture.CopyContent(to, from)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil && j.unordered {
		err = j.kept.Sync()
	}
	if err != nil {
		err = errors.Join(err, os.Remove(j.copyPath(in)))
	}
	return err
}
