package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// rollBack makes a live tree what the staging directory's first snapshot tells,
// looks whether it is, and has it on disk before it forgets how. It may be broken off
// and begun again.
func (s *staging) rollBack(ctx context.Context) error {
	scope, err := s.scope()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(scope.Root)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	u := &undoer{restorer: restorer{root: root, content: keep{s.file(nameKeep)}.open, names: make(map[inodeKey]string)}}
	for closed := true; closed; closed = u.unlock() {
		if u.pairs, err = s.changes(ctx, scope); err != nil {
			return err
		}
	}
	written, err := u.volumes()
	if err == nil {
		err = errors.Join(u.undo(), s.check(ctx, scope))
	}
	if err := errors.Join(err, written.sync()); err != nil {
		return err
	}
	return s.disarm()
}

// scope is what the first snapshot is of.
func (s *staging) scope() (Scope, error) {
	before, err := Open(s.file(nameBefore))
	if err != nil {
		return Scope{}, err
	}
	return before.Scope(), before.Close()
}

// changes compares the first snapshot with the live tree. What is in a directory whose
// names were not known is left alone.
func (s *staging) changes(ctx context.Context, scope Scope) ([]pair, error) {
	before, err := Open(s.file(nameBefore))
	if err != nil {
		return nil, err
	}
	defer before.Close() //nolint:errcheck // only read
	after, err := s.live(ctx, scope)
	if err != nil {
		return nil, err
	}
	defer after.close()
	var changed []pair
	found, closed := &found{scope, make(map[uint64]uint64)}, ""
	err = compare(before, after, func(p pair) error {
		if s.found {
			if err := found.renumber(&p); err != nil {
				return err
			}
		}
		switch {
		case closed != "" && plist.Within(p.path(), closed):
			return nil
		case p.before.isDir() && p.before.isUnread():
			closed = p.path()
		}
		if !s.isLeftAlone(&p) {
			changed = append(changed, p)
		}
		return nil
	})
	return changed, err
}

// isLeftAlone reports whether there is nothing to roll back. Of what could not be read
// before no more is known than its stamp.
func (s *staging) isLeftAlone(p *pair) bool {
	switch {
	case p.before == nil || p.after == nil || p.after.isUnread() && !p.before.isUnread():
		return false
	case p.before.isUnread():
		return sameStamp(&p.before.Stamp, &p.after.Stamp)
	case s.found && capture.Difference(&p.before.Entry, &p.after.Entry) != 0:
		return false
	}
	return (&differ{}).isLeftAlone(p)
}

// A liveTree is a scan with the snapshot that saves reading most of it, if any does.
type liveTree struct {
	*Scanner
	earlier *File
}

func (t *liveTree) close() {
	t.Scanner.Close() //nolint:errcheck // there is none
	if t.earlier != nil {
		t.earlier.Close() //nolint:errcheck // only read
	}
}

// live begins to scan the tree that the first snapshot is of, staging left out.
func (s *staging) live(ctx context.Context, scope Scope) (*liveTree, error) {
	inode, err := s.inode()
	if err != nil {
		return nil, err
	}
	scope.Skip = append(scope.Skip, inode)
	if s.found {
		return &liveTree{Scan(ctx, scope, Options{}), nil}, nil
	}
	earlier, err := Open(s.file(nameBefore))
	if err != nil {
		return nil, err
	}
	return &liveTree{Scan(ctx, scope, Options{Earlier: earlier}), earlier}, nil
}

// check reports what is still another than before.
func (s *staging) check(ctx context.Context, scope Scope) error {
	before, err := Open(s.file(nameBefore))
	if err != nil {
		return err
	}
	defer before.Close() //nolint:errcheck // only read
	after, err := s.live(ctx, scope)
	if err != nil {
		return err
	}
	defer after.close()
	list, err := Diff(before, after)
	if err != nil {
		return err
	}
	for i := range list.Entries {
		if e := &list.Entries[i]; e.Packed() {
			return fmt.Errorf("roll back: %q is still not as it was", "/"+e.Path)
		}
	}
	return nil
}

// An undoer takes pairs back, in this order: what is immutable is made mutable, and
// directories writable, what was not there goes, what is gone comes, what was written gets its content, and at
// last all get their attributes, directories after what is in them.
type undoer struct {
	restorer
	pairs []pair
}

// volumes are the file systems that undo writes to.
func (u *undoer) volumes() (v *volumes, err error) {
	v = &volumes{}
	for i := range u.pairs {
		dir := u.pairs[i].path()
		if !u.pairs[i].stands() || !u.pairs[i].before.Mode.IsDir() {
			dir = path.Dir(dir)
		}
		err = errors.Join(err, v.add(u.root, dir))
	}
	return v, err
}

func (u *undoer) undo() error {
	backward := slices.Clone(u.pairs)
	slices.Reverse(backward)
	u.meetNames()
	return errors.Join(
		each(u.pairs, func(p *pair) *Record { return p.after }, u.makeMutable),
		each(u.pairs, (*pair).narrow, u.open),
		each(backward, (*pair).intruder, func(r *Record) error { return u.remove(r.Path) }),
		each(u.pairs, (*pair).missing, u.make),
		each(u.pairs, (*pair).overwritten, u.rewrite),
		each(backward, func(p *pair) *Record { return p.before }, u.dress),
	)
}

// each calls do for the records that pick finds. One that can not be undone does
// not keep the others from it.
func each(pairs []pair, pick func(*pair) *Record, do func(*Record) error) error {
	var errs []error
	for i := range pairs {
		if r := pick(&pairs[i]); r != nil {
			if err := do(r); err != nil {
				errs = append(errs, wrap(r, err))
			}
		}
	}
	return errors.Join(errs...)
}

// stands reports whether the file of before is still under its name, or a
// directory for a directory.
func (p *pair) stands() bool {
	if p.before == nil || p.after == nil || p.before.Mode.Type() != p.after.Mode.Type() {
		return false
	}
	switch {
	case p.before.Mode.IsDir():
		return true
	case !p.before.Mode.IsRegular(): // its content is not to be rewritten in place
		return p.before.Link == p.after.Link && p.before.Major == p.after.Major && p.before.Minor == p.after.Minor &&
			p.before.Stamp.isFile(&p.after.Stamp)
	}
	return p.before.Stamp.isFile(&p.after.Stamp)
}

func (p *pair) intruder() *Record {
	if p.stands() {
		return nil
	}
	return p.after
}

func (p *pair) missing() *Record {
	if p.stands() {
		return nil
	}
	return p.before
}

func (p *pair) overwritten() *Record {
	if p.stands() && p.before.Mode.IsRegular() && (p.before.Digest != p.after.Digest || p.before.Size != p.after.Size) {
		return p.before
	}
	return nil
}

// narrow is a directory that does not let its owner do everything.
func (p *pair) narrow() *Record {
	if p.after.isDir() && p.after.Mode&0o700 != 0o700 {
		return p.after
	}
	return nil
}

// open lets the owner of a directory do everything in it.
func (u *undoer) open(r *Record) error { return u.root.Chmod(host(r.Path), r.Mode&fs.ModePerm|0o700) }

// unlock opens the directories that can not be read, and reports whether there were any.
// One that belongs to somebody else stays as it is.
func (u *undoer) unlock() (any bool) {
	for i := range u.pairs {
		if r := u.pairs[i].narrow(); r.isUnread() && u.open(r) == nil {
			any = true
		}
	}
	return any
}

// meetNames remembers the names of files with several that are still there.
func (u *undoer) meetNames() {
	for i := range u.pairs {
		if p := &u.pairs[i]; p.stands() && p.before.Stamp.Nlink > 1 && !p.before.Mode.IsDir() {
			u.names[key(&p.before.Stamp)] = p.before.Path
		}
	}
}

// rewrite puts the content back in place, so that all names have it again and who
// has the file open sees it. A program that runs can not be written to and is
// replaced (ETXTBSY).
func (u *undoer) rewrite(r *Record) error {
	_ = u.root.Chmod(host(r.Path), 0o600) // so that its owner may, if that is us
	if err := u.fill(r, 0); err == nil {
		return nil
	}
	if err := u.remove(r.Path); err != nil {
		return err
	}
	delete(u.names, key(&r.Stamp))
	return u.make(r)
}

// Recover rolls back the runs that were killed before they could do it themselves,
// and removes what they left in a staging directory ("" is the default one). It
// returns the roots that it rolled back.
func Recover(ctx context.Context, dir string) ([]string, error) {
	if dir == "" {
		dir = defaultStaging()
	}
	found, err := capture.FindStaging(dir, stagingPrefix)
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, path := range found {
		root, err := recoverRun(ctx, path)
		if errors.Is(err, errLocked) {
			continue // it is alive
		}
		if err != nil {
			return roots, fmt.Errorf("%s: %w", path, err)
		}
		if root != "" {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

func recoverRun(ctx context.Context, path string) (root string, err error) {
	s, err := reopen(path)
	if err != nil {
		return "", err
	}
	if s.isArmed() {
		before, err := Open(s.file(nameBefore))
		if err != nil {
			return "", err
		}
		root = before.Header.Root
		if err := errors.Join(before.Close(), s.rollBack(ctx)); err != nil {
			return "", errors.Join(err, s.lock.Close())
		}
	}
	return root, s.remove()
}
