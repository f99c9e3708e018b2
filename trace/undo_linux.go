package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// An undoer makes the live tree what a past tells, and may be killed and begun again
// at any time: parents before what is in them, what is not to be there goes, what is
// to be there comes; then contents; then attributes, directories last.
type undoer struct {
	*past
	journal *journal
	root    int       // of the live tree
	began   time.Time // when the journal was made

	order []string            // the places, parents first
	names map[*inode][]string // of files
	where map[*inode]string   // current host paths of old directories, until they are in place
}

func newUndoer(p *past, j *journal) (*undoer, error) {
	lock, err := j.lock.Stat()
	if err != nil {
		return nil, err
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	u := &undoer{past: p, journal: j, root: root, began: lock.ModTime(), names: make(map[*inode][]string)}
	for place, in := range p.places {
		u.order = append(u.order, place)
		if in != nil && !in.before.Mode.IsDir() {
			u.names[in] = append(u.names[in], place)
		}
	}
	slices.SortFunc(u.order, plist.ComparePaths)
	return u, u.locate()
}

func (u *undoer) close() { unix.Close(u.root) }

func (u *undoer) undo() error {
	var errs []error
	each := func(order []string, do func(place string) error) {
		for _, place := range order {
			step()
			if err := do(place); err != nil {
				errs = append(errs, fmt.Errorf("put back %q: %w", "/"+place, err))
			}
		}
	}
	backward := slices.Clone(u.order)
	slices.Reverse(backward)
	each(u.order, u.clear)
	each(u.order, u.settle)
	each(u.order, u.rewrite)
	if len(errs) == 0 { // else what is in them may still be needed
		errs = append(errs, u.journal.removeRooms())
	}
	each(backward, u.dress)
	each(u.order, u.check)
	for _, v := range u.volumes {
		errs = append(errs, v.sync())
	}
	return errors.Join(errs...)
}

func host(place string) string {
	if place == "." {
		return "/"
	}
	return "/" + place
}

// parent opens the directory of a path, without following a symlink.
func (u *undoer) parent(place string) (spot, error) {
	fd, err := unix.Openat2(u.root, path.Dir(place), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	return spot{fd, path.Base(place)}, err
}

// clear removes a new file from the place where there was nothing, so that there is
// room for what is put back. What is not in its own old directory yet is left to settle.
func (u *undoer) clear(place string) error {
	if u.places[place] != nil || place == "." {
		return nil
	}
	s, err := u.parent(place)
	if err != nil {
		return nil //nolint:nilerr // not in its place yet
	}
	defer s.close()
	if k, _, err := keyOf(s.dir, ""); err != nil || u.places[path.Dir(place)] == nil || u.places[path.Dir(place)].key != k {
		return err
	}
	k, st, err := keyOf(s.dir, s.name)
	if err != nil || isType(&st, unix.S_IFDIR) || u.inodes[k] != nil {
		return nil //nolint:nilerr // nothing is there
	}
	return softly(s, func() error { return unix.Unlinkat(s.dir, s.name, 0) })
}

// settle puts the right inode into a place, or nothing.
func (u *undoer) settle(place string) error {
	if place == "." {
		return nil
	}
	s, err := u.parent(place)
	if err != nil {
		return err
	}
	defer s.close()
	want := u.places[place]
	k, st, err := keyOf(s.dir, s.name)
	switch {
	case err == nil && want != nil && k == want.key:
		delete(u.where, want)
		return nil
	case err == nil:
		if err = u.isKept(want); err == nil {
			err = u.evict(s, k, isType(&st, unix.S_IFDIR))
		}
	case err == unix.ENOENT:
		err = nil
	}
	if err != nil || want == nil {
		return err
	}
	return softly(s, func() error { return u.make(s, want) })
}

// isKept says what is wrong if an inode can not be put back: then nothing has to make
// room for it. Only regular files can not be made of their record alone.
func (u *undoer) isKept(in *inode) error {
	if in == nil || !in.before.Mode.IsRegular() {
		return nil
	}
	if at := u.journal.linkAt(in); in.link && unix.Faccessat(at.dir, at.name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil
	}
	for _, name := range u.names[in] {
		if k, _, err := keyOf(u.root, name); err == nil && k == in.key {
			return nil
		}
	}
	_, err := os.Stat(u.journal.copyPath(in))
	return err
}

// evict takes away what is not to be here. Old directories, it or in it, are parked
// next to it until their turn comes.
func (u *undoer) evict(s spot, k key, isDir bool) error {
	if !isDir {
		return softly(s, func() error { return unix.Unlinkat(s.dir, s.name, 0) })
	}
	dir, err := pathOf(s.dir)
	if err != nil {
		return err
	}
	here := path.Join(dir, s.name)
	for len(u.where) > 0 {
		in := u.outermost(here)
		if in == nil {
			break
		}
		if err := u.moveTo(in, path.Join(dir, ".sandbox-install-"+strconv.FormatUint(in.ino, 10))); err != nil {
			return err
		}
	}
	return u.removeAll(s)
}

// outermost returns a displaced directory that is in a directory, and in no other one.
func (u *undoer) outermost(dir string) (found *inode) {
	for in, at := range u.where {
		if below(at, dir) && (found == nil || len(at) < len(u.where[found])) {
			found = in
		}
	}
	return found
}

// moveTo renames a displaced directory, in the journal first, so that it is found
// again if we are killed.
func (u *undoer) moveTo(in *inode, to string) error {
	from := u.where[in]
	m := move{from, to}
	if err := u.journal.addAtLast(m.record()); err != nil {
		return err
	}
	u.moves = append(u.moves, m)
	step()
	fd, err := openPath(unix.AT_FDCWD, path.Dir(from), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	s := spot{fd, path.Base(from)}
	defer s.close()
	if err := softly(s, func() error { return unix.Renameat(s.dir, s.name, unix.AT_FDCWD, to) }); err != nil {
		return err
	}
	for other, at := range u.where {
		if below(at, from) {
			u.where[other] = to + strings.TrimPrefix(at, from)
		}
	}
	return nil
}

// make makes what is to be in an empty place.
func (u *undoer) make(s spot, want *inode) error {
	e := &want.before
	switch {
	case e.Mode.IsDir():
		if _, ok := u.where[want]; !ok {
			return unix.Mkdirat(s.dir, s.name, 0o700)
		}
		dir, err := pathOf(s.dir)
		if err == nil {
			err = u.moveTo(want, path.Join(dir, s.name))
		}
		if err == nil {
			delete(u.where, want)
		}
		return err
	case want.link:
		from := u.journal.linkAt(want)
		return unix.Linkat(from.dir, from.name, s.dir, s.name, 0)
	}
	for _, name := range u.names[want] {
		if k, _, err := keyOf(u.root, name); err == nil && k == want.key {
			return unix.Linkat(u.root, name, s.dir, s.name, 0)
		}
	}
	if err := u.makeAnew(s, want); err != nil {
		return err
	}
	k, _, err := keyOf(s.dir, s.name)
	want.key = k // from now on
	return err
}

func (u *undoer) makeAnew(s spot, want *inode) error {
	e := &want.before
	switch e.Mode.Type() {
	case 0:
		return u.fill(s, want, unix.O_CREAT|unix.O_EXCL)
	case fs.ModeSymlink:
		return unix.Symlinkat(e.Link, s.dir, s.name)
	}
	return unix.Mknodat(s.dir, s.name, plist.UnixMode(e.Mode), int(unix.Mkdev(e.Major, e.Minor)))
}

// fill writes the kept content of a file.
func (u *undoer) fill(s spot, in *inode, flags int) error {
	from, err := os.Open(u.journal.copyPath(in))
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(s.dir, s.name, unix.O_RDWR|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), s.name)
	return errors.Join(capture.CopyContent(to, from), to.Sync(), to.Close())
}

// rewrite gives a file its content again, in place, so that all names have it and
// who has the file open sees it. A program that runs can not be written to and is
// replaced (ETXTBSY).
func (u *undoer) rewrite(place string) error {
	in := u.places[place]
	if in == nil || !in.copy || u.names[in][0] != place {
		return nil
	}
	same, err := u.holdsKept(place, in)
	if err != nil || same {
		return err
	}
	s, err := u.parent(place)
	if err != nil {
		return err
	}
	defer s.close()
	err = softly(s, func() error { return u.fill(s, in, 0) })
	if err == unix.ETXTBSY {
		if err = unix.Unlinkat(s.dir, s.name, 0); err == nil {
			err = u.makeAnew(s, in)
		}
		if err == nil {
			in.key, _, err = keyOf(s.dir, s.name)
		}
	}
	return err
}

// holdsKept reports whether a file's content is what was kept of it.
func (u *undoer) holdsKept(place string, in *inode) (bool, error) {
	kept, err := digestOf(unix.AT_FDCWD, u.journal.copyPath(in))
	if err != nil {
		return false, err
	}
	now, err := digestOf(u.root, place)
	return kept == now, err
}

// dress gives what is in a place its attributes.
func (u *undoer) dress(place string) error {
	in := u.places[place]
	if in == nil || in.before.Path != place {
		return nil
	}
	s := spot{u.root, place}
	same, err := u.isAsBefore(s, in)
	if err != nil || same {
		return err
	}
	return softly(s, func() error { return capture.Dress(s.dir, s.name, &in.before) })
}

func (u *undoer) isAsBefore(s spot, in *inode) (bool, error) {
	now, err := lstat(s)
	if err != nil {
		return false, err
	}
	return capture.Difference(&in.before, &now) == 0 && in.before.ModTime.Equal(now.ModTime), nil
}

// check reports a place that is not as it was.
func (u *undoer) check(place string) error {
	in := u.places[place]
	if in == nil {
		if _, _, err := keyOf(u.root, place); !isGone(err) {
			return errors.Join(errors.New("still there"), err)
		}
		return nil
	}
	same, err := u.isAsBefore(spot{u.root, place}, in)
	if err == nil && !same {
		err = errors.New("not as it was")
	}
	return err
}

// softly repeats what failed because of an inode flag (immutable, append only) after
// taking these from the file and its directory.
func softly(s spot, do func() error) error {
	err := do()
	if err != unix.EPERM && !errors.Is(err, unix.EPERM) {
		return err
	}
	for _, name := range []string{".", s.name} {
		e, err := lstat(spot{s.dir, name})
		if err == nil && e.Flags != 0 {
			e.Flags = 0
			_ = capture.SetFlags(s.dir, name, &e) // what can not be softened shows below
		}
	}
	return do()
}

// removeAll removes a directory, if it is there, and all in it: what came or was changed
// in the run. Anything older was there before, and this is no directory of the run's,
// whatever its number says: some file systems give a directory another one, as FUSE when
// it was forgotten.
func (u *undoer) removeAll(s spot) error {
	_, st, err := keyOf(s.dir, s.name)
	if err == nil && timeOf(st.Ctime.Sec, int(st.Ctime.Nsec)).Before(u.began.Add(-coarsest)) {
		return &fs.PathError{Op: "remove", Path: s.name, Err: errOlder}
	}
	err = softly(s, func() error { return unix.Unlinkat(s.dir, s.name, unix.AT_REMOVEDIR) })
	switch err {
	case unix.ENOENT:
		return nil
	case unix.ENOTDIR:
		return softly(s, func() error { return unix.Unlinkat(s.dir, s.name, 0) })
	case unix.ENOTEMPTY, unix.EEXIST:
	default:
		return err
	}
	fd, err := unix.Openat(s.dir, s.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		if err = unix.Fchmodat(s.dir, s.name, 0o700, 0); err == nil {
			fd, err = unix.Openat(s.dir, s.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), s.name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, u.removeAll(spot{fd, name}))
	}
	if err != nil {
		return err
	}
	return softly(s, func() error { return unix.Unlinkat(s.dir, s.name, unix.AT_REMOVEDIR) })
}

// errOlder says that something was there before the run.
var errOlder = errors.New("it is older than the run, and so it stays")

// coarsest is how far a file system may round times down: FAT.
const coarsest = 2 * time.Second

func digestOf(dir int, name string) (plist.Digest, error) {
	f, err := openAt(dir, name)
	if err != nil {
		return plist.Digest{}, err
	}
	defer f.Close()
	return capture.Digest(f)
}
