package trace

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// locate finds the old directories. One that is at its own path is not in place yet:
// what it is in may have to go.
func (u *undoer) locate() error {
	u.where = make(map[*inode]string)
	moved := movedDirectories{undoer: u}
	for _, place := range u.order {
		in := u.places[place]
		if in == nil || !in.before.Mode.IsDir() || place == "." {
			continue
		}
		at, err := u.find(in, place, &moved)
		if err != nil {
			return err
		}
		if at != "" {
			u.where[in] = at
		}
	}
	return nil
}

// find returns the current host path of an old directory; "" if it is gone. It still
// is in what it was in, or it was moved. Its old parents have been found before it.
func (u *undoer) find(in *inode, place string, moved *movedDirectories) (string, error) {
	if at := u.within(place); at != "" {
		switch k, err := u.keyOfPath(at[1:]); {
		case isGone(err):
		case err != nil:
			return "", err
		case k == in.key:
			return at, nil
		}
	}
	return moved.find(in.key)
}

// within returns where a place is if it still is in the old directories that it was
// in; "" if one of those is gone.
func (u *undoer) within(place string) string {
	for dir := path.Dir(place); dir != "."; dir = path.Dir(dir) {
		if in := u.places[dir]; in != nil && in.before.Mode.IsDir() {
			if u.where[in] == "" {
				return ""
			}
			return u.where[in] + place[len(dir):]
		}
	}
	return host(place)
}

// movedDirectories knows where directories are that were moved. The last one above
// such a directory that was moved itself is where that move put it, or would have taken
// it from: nothing above it was moved. So all are at or below the paths of the moves.
type movedDirectories struct {
	*undoer
	at     map[key]string // those that were looked at
	tops   []string       // the paths of the moves that are directories
	hidden error          // of a directory that could not be looked into
}

// find looks at the paths of the moves first, and then at all that is below them.
func (m *movedDirectories) find(k key) (string, error) {
	if m.at == nil {
		if err := m.lookAtMoves(); err != nil {
			return "", err
		}
	}
	if at := m.at[k]; at != "" {
		return at, nil
	}
	slices.SortFunc(m.tops, plist.ComparePaths)
	last := ""
	for _, top := range m.tops {
		if last != "" && below(top, last) {
			continue // it was seen
		}
		last = top
		s, err := m.parent(top[1:])
		if err == nil {
			err = errors.Join(m.lookBelow(s.dir, s.name, top), unix.Close(s.dir))
		}
		if err != nil {
			return "", err
		}
	}
	m.tops = nil
	if at := m.at[k]; at != "" {
		return at, nil
	}
	return "", m.hidden
}

func (m *movedDirectories) lookAtMoves() error {
	m.at = make(map[key]string)
	seen := make(map[string]bool)
	for _, move := range m.moves {
		for _, p := range []string{move.from, move.to} {
			if seen[p] {
				continue
			}
			seen[p] = true
			s, err := m.parent(p[1:])
			if isGone(err) {
				continue
			}
			if err != nil {
				return err
			}
			k, st, err := keyOf(s.dir, s.name)
			s.close()
			switch {
			case isGone(err):
			case err != nil:
				return err
			case isType(&st, unix.S_IFDIR):
				m.at[k], m.tops = p, append(m.tops, p)
			}
		}
	}
	return nil
}

// lookBelow looks at all directories in one, on its file system.
func (m *movedDirectories) lookBelow(dir int, name, at string) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		m.hidden = &fs.PathError{Op: "look for moved directories in", Path: at, Err: err}
		return nil
	case isGone(err):
		return nil
	case err != nil:
		return &fs.PathError{Op: "open", Path: at, Err: err}
	}
	f := os.NewFile(uintptr(fd), at)
	defer f.Close()
	own, _, err := keyOf(fd, "")
	for err == nil {
		var entries []fs.DirEntry
		entries, err = f.ReadDir(1000)
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			k, st, err := keyOf(fd, e.Name())
			if isGone(err) || err == nil && (k.dev != own.dev || !isType(&st, unix.S_IFDIR)) {
				continue
			}
			if err != nil {
				return err
			}
			m.at[k] = at + "/" + e.Name()
			if err := m.lookBelow(fd, e.Name(), m.at[k]); err != nil {
				return err
			}
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// keyOfPath reads the key of an entry path, which no symlink leads to: by one, a
// directory would seem to be where it is not.
func (u *undoer) keyOfPath(place string) (key, error) {
	s, err := u.parent(place)
	if err != nil {
		return key{}, err
	}
	defer s.close()
	k, _, err := keyOf(s.dir, s.name)
	return k, err
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
