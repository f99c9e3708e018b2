package overlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
	"github.com/sandbox-install/sandbox-install/plist"
)

// links is what a walk finds out about hard links.
//
// With index=on, overlayfs keeps the names of a lower inode together: a change
// through one name is seen through all of them, though only that one is in upper.
// The others are searched for in lower after the walk.
type links struct {
	names  []link
	known  map[inodeKey]bool  // inodes of merged that names has
	lowers map[inodeKey]lower // inodes of lower with several names, of which the walk met some
}

// A link is an entry that has, or had, more than one name.
type link struct {
	entry         int           // index in the list
	before, after capture.Inode // in lower, where Nlink 0 means that it was not there; in merged
	copiedUp      bool
}

type inodeKey struct{ dev, ino uint64 }

func key(i capture.Inode) inodeKey { return inodeKey{i.Dev, i.Ino} }

type lower struct {
	met, nlink uint32
	path       string // of a name that was met
}

// met counts a name of lower that the walk has come by, whatever became of it.
func (l *links) met(path string, i capture.Inode) {
	if i.Nlink < 2 {
		return
	}
	if l.lowers == nil {
		l.lowers = make(map[inodeKey]lower)
	}
	l.lowers[key(i)] = lower{l.lowers[key(i)].met + 1, i.Nlink, path}
}

// add notes an entry if it has or had other names, and reports whether its inode
// is in the list already.
func (l *links) add(entry int, before, after *file) (known bool) {
	n := link{entry: entry, after: after.Inode, copiedUp: after.copiedUp}
	if before != nil {
		n.before = before.Inode
	}
	if n.before.Nlink < 2 && n.after.Nlink < 2 {
		return false
	}
	l.names = append(l.names, n)
	if l.known == nil {
		l.known = make(map[inodeKey]bool)
	}
	known = l.known[key(n.after)]
	l.known[key(n.after)] = true
	return known
}

// unmet returns the inode numbers in lower of which the walk has not met all
// names, how many names these are, and the directories above those that it met.
func (l *links) unmet() (inos map[uint64]bool, names int, above map[string]bool) {
	inos, above = make(map[uint64]bool), make(map[string]bool)
	for k, i := range l.lowers {
		if i.met < i.nlink {
			inos[k.ino] = true
			names += int(i.nlink - i.met)
			for dir := path.Dir(i.path); !above[dir]; dir = path.Dir(dir) {
				above[dir] = true
			}
		}
	}
	return inos, names, above
}

// siblings visits the other names in lower of the inodes that the walk met, and
// adds their entries after those of the walk.
func (w *walker) siblings(ctx context.Context) error {
	inos, names, above := w.links.unmet()
	if names == 0 || w.layer.upper == nil || w.layer.parts() { // see parted
		return nil
	}
	s := siblingSearch{walker: w, inos: inos, left: names, devices: make(map[uint64]bool), done: make(map[string]bool)}
	for ino := range inos {
		s.devices[fuse.DeviceOf(ino)] = true
	}
	// Most have all their names near each other.
	for _, dir := range slices.SortedFunc(maps.Keys(above), deepestFirst) {
		if s.left > 0 && plist.Within(dir, w.layer.path) {
			if err := s.dir(ctx, dir); err != nil {
				return err
			}
			s.done[dir] = true
		}
	}
	slices.SortFunc(s.found, plist.ComparePaths)
	return w.visitApart(ctx, s.found)
}

func deepestFirst(a, b string) int {
	return cmp.Or(strings.Count(b, "/")-strings.Count(a, "/"), len(b)-len(a), strings.Compare(a, b))
}

// A siblingSearch looks through all of lower for names of certain inodes.
//
// Unlike what the walk visits, most of it has nothing to do with the command, and
// goes on living: a directory may be gone when its turn comes, or have moved, so
// that ".." would not be the way back. Each is opened from the root.
type siblingSearch struct {
	*walker
	inos  map[uint64]bool
	left  int      // names not found yet; some may lie out of sight, below a mount
	found []string // entry paths
	done  map[string]bool

	devices map[uint64]bool // in a mirror, those of the inodes
}

const unknownIno = 0xffffffff // FUSE_UNKNOWN_INO of libfuse

// dir searches a directory and those below it.
func (s *siblingSearch) dir(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	below, err := s.read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !(s.layer.isBelieved() && errors.Is(err, fs.ErrPermission)) {
		return fmt.Errorf("harvest hard links in %q: %w", dir, err)
	}
	for _, name := range below {
		if path := join(dir, name); s.left > 0 && !s.mounts[path] && !s.done[path] {
			if err := s.dir(ctx, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// read looks at the names of a directory and returns those that are directories.
// Other names are only looked at more closely if their number fits: a number means
// something only on its own device, and some file systems have none to tell here,
// which FUSE says by all ones.
func (s *siblingSearch) read(dir string) (dirs []string, err error) {
	fd, err := capture.OpenDir(int(s.layer.lower.Fd()), s.layer.inside(dir))
	if err != nil {
		return nil, err
	}
	at := cursor{fd}
	defer at.close()
	if ok, err := s.leads(at); err != nil || !ok {
		return nil, err
	}
	if err := at.move("."); err != nil { // to read, for it was opened with O_PATH
		return nil, err
	}
	var names []dirent
	err = at.read(func(d dirent) {
		if d.typ == unix.DT_DIR || d.typ == unix.DT_UNKNOWN || s.inos[d.ino] || d.ino == unknownIno {
			names = append(names, d)
		}
	})
	for _, d := range names {
		f := &file{Entry: plist.Entry{Mode: fs.ModeDir}}
		if d.typ != unix.DT_DIR {
			if f, err = kind(at, d.name); err != nil {
				return nil, err
			}
		}
		if f.is(fs.ModeDir) {
			dirs = append(dirs, d.name)
		} else if f != nil {
			s.file(join(dir, d.name), f)
		}
	}
	return dirs, err
}

// leads reports whether the names that are searched for may be in a directory: a mirror
// shows all file systems that are mounted. What one has of another mount of it is for
// otherNames to tell.
func (s *siblingSearch) leads(at cursor) (bool, error) {
	if !s.layer.isBelieved() {
		return true, nil
	}
	var st unix.Stat_t
	err := unix.Fstat(at.fd, &st)
	return s.devices[fuse.DeviceOf(st.Ino)], err
}

// file keeps a name that the walk has not met of an inode that it has.
func (s *siblingSearch) file(path string, f *file) {
	i, ok := s.links.lowers[key(f.Inode)]
	if ok && i.met < i.nlink && !s.mounts[path] && !s.has(path) {
		s.found = append(s.found, path)
		s.left--
	}
}

// has reports whether the walk has an entry for the path. Names that it met
// without making an entry are directories and sockets only.
func (w *walker) has(path string) bool {
	_, ok := slices.BinarySearchFunc(w.list, path, func(e plist.Entry, p string) int { return plist.ComparePaths(e.Path, p) })
	return ok
}

// visitApart visits paths that the walk did not come by.
func (w *walker) visitApart(ctx context.Context, paths []string) error {
	lower, merged := opener{root: w.layer.lower}, opener{root: w.layer.merged}
	defer lower.close()
	defer merged.close()
	defer func(l, m cursor) { w.lower, w.merged = l, m }(w.lower, w.merged)
	for _, path := range paths {
		inside := w.layer.inside(path)
		var name string
		var err error
		if w.lower.fd, name, err = lower.dir(inside); err == nil {
			w.merged.fd, _, err = merged.dir(inside)
		}
		if err != nil {
			return fmt.Errorf("harvest %q: %w", path, err)
		}
		if err := w.visit(ctx, path, name, place{lower: true, merged: true, whole: true}); err != nil {
			return err
		}
	}
	return nil
}
