package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// A recorder answers questions: what is about to be changed goes into the journal
// when it is met for the first time.
type recorder struct {
	*past
	journal *journal
	paths   *resolver
	dirs    map[key]*directory
	ours    map[key]bool // directories of the journal
	path    [unix.PathMax]byte

	programs *programs // or nil

	passed   map[uint32]passed // by thread
	shifting int               // how many of them shift

	refused         map[string]int // what could not be recorded, by a sentence
	noNewPrivileges bool
	setID           map[string]bool // programs that would have run with other ids
}

func newRecorder(j *journal) (*recorder, error) {
	r := &recorder{
		past: newPast(), journal: j, dirs: make(map[key]*directory),
		passed: make(map[uint32]passed), ours: make(map[key]bool), refused: make(map[string]int), setID: make(map[string]bool),
	}
	for _, dir := range []string{"", "/log", "/kept", "/after"} {
		k, _, err := keyOf(unix.AT_FDCWD, j.path+dir)
		if err != nil {
			return nil, err
		}
		r.ours[k] = true
	}
	var err error
	r.paths, err = newResolver()
	return r, err
}

// decide answers a question.
func (r *recorder) decide(q *sandbox.Question) unix.Errno {
	c := find(q)
	if c == nil {
		return unix.ENOSYS
	}
	r.await(c, q)
	err := r.record(c, q)
	if err == nil {
		err = r.journal.flush()
	}
	var errno unix.Errno
	switch {
	case err == nil:
		r.let(c, q)
		return 0
	case !errors.As(err, &errno):
		errno = unix.EIO
	}
	var lost *lostError
	if errors.As(err, &lost) {
		r.refused[lost.Error()]++
	}
	return errno
}

// A lostError says that a call is refused since what it would change can not be
// kept; any other error is what the kernel itself would answer.
type lostError struct {
	path string
	err  error
}

func (e *lostError) Error() string { return fmt.Sprintf("%q could not be kept: %v", "/"+e.path, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// record records what a call is about to change.
func (r *recorder) record(c *call, q *sandbox.Question) error {
	v, err := r.paths.view(q.TID)
	if err != nil {
		return err
	}
	defer v.close()
	t := &tracee{observer: r, view: v, call: c, Question: q, buf: &r.path}
	if r.programs != nil {
		t.observer = &both{r, r.programs}
		r.programs.calls(t)
	}
	return t.tell()
}

// touchName records that a name may come, go, or become another file's.
func (r *recorder) touchName(s spot) error {
	if s.name == "" {
		return nil // "." and ".." are no names to be changed
	}
	d, err := r.directory(s.dir)
	if err != nil {
		return err
	}
	switch d.kind {
	case kindOurs:
		return unix.EACCES
	case kindPseudo:
		return unix.EROFS
	case kindOld:
	default:
		return nil
	}
	where := join(d.path, s.name)
	if tooLong(where) {
		return unix.ENAMETOOLONG
	}
	known, touched := r.places[where]
	if touched && known == nil {
		return nil
	}
	k, st, err := keyOf(s.dir, s.name)
	there := err == nil
	if err != nil && err != unix.ENOENT {
		return err
	}
	if r.ours[k] {
		return unix.EBUSY
	}
	parent, err := r.directoryRecord(s.dir, d)
	if err != nil {
		return err
	}
	if touched {
		if there && known.key == k {
			return r.keepLink(s, known)
		}
		return nil
	}
	if !there {
		if err := r.add(parent, fmt.Sprintf("%c%d %s", recordAbsent, parent.id, s.name)); err != nil {
			return &lostError{where, err}
		}
		r.places[where] = nil
		return nil
	}
	in, err := r.inode(s, where, k, &st, keepNothing)
	if err != nil {
		return err
	}
	return r.keepLink(s, in)
}

// touchAttributes records that attributes of what has the name itself may change.
func (r *recorder) touchAttributes(s spot) error { return r.touchInode(s, keepNothing) }

// touchLinks records that a link count may change, which is an attribute.
func (r *recorder) touchLinks(s spot) error { return r.touchInode(s, keepNothing) }

// touchContent records that the content of a regular file may change.
func (r *recorder) touchContent(s spot) error { return r.touchInode(s, keepCopy) }

// touchInode records an inode, and keeps its content if that may change.
func (r *recorder) touchInode(s spot, how keeping) error {
	k, st, err := keyOf(s.dir, s.name)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	if how == keepCopy && !isType(&st, unix.S_IFREG) {
		switch {
		case isType(&st, unix.S_IFBLK):
			return unix.EPERM // a disk is nothing that could be kept
		case !isType(&st, unix.S_IFIFO):
			return nil
		}
		how = keepNothing // its time changes
	}
	if in := r.inodes[k]; in != nil {
		return r.keepCopy(s, in, how)
	}
	where, old, err := r.oldPlace(s)
	if err != nil || !old {
		return err
	}
	in, err := r.inode(s, where, k, &st, how)
	if err != nil {
		return err
	}
	return r.keepCopy(s, in, how)
}

// oldPlace returns the entry path of what was there before the run and is nowhere
// recorded; false for all else.
func (r *recorder) oldPlace(s spot) (where string, old bool, err error) {
	d, err := r.directory(s.dir)
	if err != nil {
		return "", false, err
	}
	switch d.kind {
	case kindOurs:
		return "", false, unix.EACCES
	case kindPseudo:
		return "", false, unix.EROFS
	case kindOld:
	default:
		return "", false, nil
	}
	if s.name == "" {
		return d.path, true, nil
	}
	where = join(d.path, s.name)
	if tooLong(where) {
		return "", false, unix.ENAMETOOLONG
	}
	_, touched := r.places[where]
	return where, !touched, nil
}

// tooLong reports whether an entry path is none that the kernel takes at once. What
// can not be put back by its path may not be changed.
func tooLong(where string) bool { return len(host(where)) >= unix.PathMax }

// keeping says what of an inode is kept.
type keeping uint8

const (
	keepNothing keeping = iota // but its attributes
	keepCopy
)

// inode records an inode that was there before the run, or one more name of it.
func (r *recorder) inode(s spot, where string, k key, st *unix.Statx_t, how keeping) (*inode, error) {
	if in := r.inodes[k]; in != nil {
		if err := r.add(in, fmt.Sprintf("%c%d %s", recordPlace, in.id, where)); err != nil {
			return nil, &lostError{where, err}
		}
		r.places[where] = in
		return in, nil
	}
	in := &inode{key: k, nlink: st.Nlink}
	var err error
	if in.before, err = lstat(s); err != nil {
		return nil, err
	}
	in.before.Path = where
	if err := r.volumeOf(s, k.dev); err != nil {
		return nil, &lostError{where, err}
	}
	in.id = r.journal.last + 1
	if how == keepCopy {
		if err := r.copy(s, in); err != nil {
			return nil, err
		}
		in.copy = true
	}
	if err := r.journal.addInode(in); err != nil {
		return nil, &lostError{where, err}
	}
	r.waitFor(in)
	r.meet(in)
	return in, nil
}

// add writes a record about an inode.
func (r *recorder) add(in *inode, text string) error {
	r.waitFor(in)
	return r.journal.add(text)
}

// waitFor has the records on the disk before an inode may be changed, where nothing
// else sees to that.
func (r *recorder) waitFor(in *inode) {
	r.journal.wait = r.journal.wait || r.volumes[in.dev].wait
}

// link keeps a link, on another file system in a room there.
func (r *recorder) link(s spot, in *inode) error {
	err := r.journal.link(s, in)
	if err != unix.EXDEV || r.journal.rooms[in.dev] != nil {
		return err
	}
	if err := r.addRoom(s.dir, in.dev); err != nil {
		return err
	}
	return r.journal.link(s, in)
}

// addRoom makes a room as far up in a file system as one may write. A name comes
// there, so that the directory is recorded first.
func (r *recorder) addRoom(fd int, device uint64) error {
	at, err := openPath(fd, ".", 0)
	if err != nil {
		return err
	}
	at = climb(at, device, func(above int) bool { return unix.Faccessat(above, ".", unix.W_OK, unix.AT_EACCESS) == nil })
	defer unix.Close(at)
	d, err := r.directory(at)
	if err != nil {
		return err
	}
	if d.kind == kindOld {
		if _, err := r.directoryRecord(at, d); err != nil {
			return err
		}
	}
	parent, err := pathOf(at)
	if err != nil {
		return err
	}
	room, err := r.journal.addRoom(device, parent)
	if err != nil {
		return err
	}
	k, _, err := keyOf(int(room.dir.Fd()), "")
	r.ours[k] = true
	return err
}

// keepLink keeps an inode that is about to lose a name. Where no link can be had, as
// of another's file (proc_sys_fs(5), protected_hardlinks), a copy must do; but not
// for one of several names.
func (r *recorder) keepLink(s spot, in *inode) error {
	if in.before.Mode.IsDir() || in.link {
		return nil
	}
	if err := r.link(s, in); err != nil {
		switch {
		case in.nlink > 1:
			return &lostError{in.before.Path, err}
		case !in.before.Mode.IsRegular():
			return nil // its attributes tell all
		}
		return r.keepCopy(s, in, keepCopy)
	}
	if err := r.add(in, fmt.Sprintf("%c%d link", recordKept, in.id)); err != nil {
		return &lostError{in.before.Path, errors.Join(err, r.journal.unlink(in))}
	}
	in.link = true
	return nil
}

// keepCopy keeps the content of a regular file, if that is how it is to be kept.
func (r *recorder) keepCopy(s spot, in *inode, how keeping) error {
	if how != keepCopy || in.copy || !in.before.Mode.IsRegular() {
		return nil
	}
	if err := r.copy(s, in); err != nil {
		return err
	}
	if err := r.add(in, fmt.Sprintf("%c%d copy", recordKept, in.id)); err != nil {
		return &lostError{in.before.Path, err}
	}
	in.copy = true
	return nil
}

// copy copies content. Who can not read it can mostly not write it either, and is
// told so by the kernel.
func (r *recorder) copy(s spot, in *inode) error {
	fd, err := capture.OpenAt(s.dir, s.name)
	if err == unix.EACCES && unix.Faccessat(s.dir, s.name, unix.W_OK, unix.AT_EACCESS) != nil {
		return err
	}
	if err != nil {
		return &lostError{in.before.Path, err}
	}
	f := os.NewFile(uintptr(fd), s.name)
	return r.lost(in.before.Path, errors.Join(r.journal.copy(f, in), f.Close()))
}

func (r *recorder) lost(where string, err error) error {
	if err == nil {
		return nil
	}
	return &lostError{where, err}
}

// lstat reads all attributes of a spot that can be read.
func lstat(s spot) (e entry, err error) {
	name := s.name
	if name == "" {
		name = "."
	}
	e, _, err = capture.Lstat(s.dir, name)
	if errors.Is(err, fs.ErrPermission) {
		e, _, err = capture.LstatQuick(s.dir, name)
	}
	return e, err
}

// renamed records the moves of directories.
func (r *recorder) renamed(from, to spot, exchange bool) error {
	if err := r.move(from, to); err != nil || !exchange {
		return err
	}
	return r.move(to, from)
}

// move records that a spot, if it is a directory, goes to another one.
func (r *recorder) move(from, to spot) error {
	if from.name == "" || to.name == "" {
		return nil
	}
	k, st, err := keyOf(from.dir, from.name)
	if err != nil || !isType(&st, unix.S_IFDIR) {
		return err
	}
	m := move{}
	for _, side := range []struct {
		spot
		path *string
	}{{from, &m.from}, {to, &m.to}} {
		dir, err := pathOf(side.dir)
		if err != nil {
			return err
		}
		*side.path = path.Join(dir, side.name)
	}
	if below(r.journal.path, m.from) {
		return unix.EBUSY
	}
	if in := r.inodes[k]; in != nil && !in.spared {
		if err := r.journal.addSpares(); err != nil {
			return &lostError{m.from[1:], err}
		}
		in.spared = true
	}
	if err := r.journal.addMove(m); err != nil {
		return &lostError{m.from[1:], err}
	}
	if v := r.volumes[k.dev]; v != nil && v.wait {
		r.journal.wait = true
	}
	r.moves = append(r.moves, m)
	return nil
}

// execute notes programs that the filter keeps from running with other ids.
func (r *recorder) execute(t *tracee) error {
	if !r.noNewPrivileges {
		return nil
	}
	s, name, err := t.spot(0)
	if err != nil {
		return nil //nolint:nilerr // it is the kernel's to say
	}
	defer s.close()
	_ = t.followed(s, func(s spot) error {
		if _, st, err := keyOf(s.dir, s.name); err == nil && isType(&st, unix.S_IFREG) && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
			r.setID[name] = true
		}
		return nil
	})
	return nil
}
