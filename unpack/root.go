package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Root is a directory that packages are unpacked over.
type Root struct {
	sys   *system
	dir   string // as it was given
	owner uint32 // of the directory itself
	state string // real path of the state directory

	bases []*Root // layers below

	verified *plist.List // of the package that was read last, and found as it should be

	now        func() time.Time // time.Now, but in tests
	indexAfter int              // how many packages may have changed since the index was written
}

// Open opens a directory as the root of packages. It changes nothing.
func Open(dir string, o Options) (*Root, error) {
	k, err := openKernel(dir)
	if err != nil {
		return nil, err
	}
	return openDisk(k, dir, o)
}

// openDisk opens a root on a disk. If that fails the disk is closed.
func openDisk(d disk, dir string, o Options) (*Root, error) {
	r := &Root{sys: &system{disk: d}, dir: dir, now: time.Now, indexAfter: indexAfter}
	if err := r.prepare(o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), r.Close())
	}
	if err := r.openBases(o.Base); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// indexAfter is how many records a look-up may read; each takes about as long as
// its package has files.
const indexAfter = 16

func (r *Root) prepare(o Options) error {
	top, _, err := r.sys.lstat(".", noHash)
	if err != nil {
		return err
	}
	r.owner = top.UID
	state := o.State
	if state == "" {
		state = DefaultState
	}
	if err := plist.CheckPath(state); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if r.state, err = r.resolve(state); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return r.checkState()
}

// Close releases the root.
func (r *Root) Close() error {
	err := r.sys.disk.Close()
	for _, b := range r.bases {
		err = errors.Join(err, b.Close())
	}
	return err
}

// checkState refuses a state directory that others may change.
func (r *Root) checkState() error {
	e, _, err := r.sys.lstat(r.state, noHash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case !e.Mode.IsDir():
		return fmt.Errorf("state directory /%s: is no directory", r.state)
	case e.Mode.Perm()&0o022 != 0:
		return fmt.Errorf("state directory /%s: others than its owner may write there", r.state)
	case !r.trusts(e.UID):
		return fmt.Errorf("state directory /%s: belongs to user %d", r.state, e.UID)
	}
	return nil
}

// trusts reports whether a user may say where our files go: the superuser, we
// ourselves, and whose root it is.
func (r *Root) trusts(uid uint32) bool {
	return uid == 0 || uid == uint32(os.Geteuid()) || uid == r.owner
}

// maxLinks is how many symlinks a path may lead through, as path_resolution(7) has it.
const maxLinks = 40

// resolve returns the real path of a name, as a process whose root directory is
// ours would see it: absolute targets begin there, and ".." ends there. From the
// first part on that is not there the path is taken as it is.
func (r *Root) resolve(name string) (string, error) {
	todo := strings.Split(name, "/")
	done := "."
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		here := path.Join(done, part)
		e, _, err := r.sys.lstat(here, noHash)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return missing(here, todo)
		case err != nil:
			return "", err
		case e.Mode.Type() != fs.ModeSymlink:
			done = here
			continue
		case !r.trusts(e.UID):
			return "", fmt.Errorf("/%s: a symlink of user %d, whom it would let choose where files go", here, e.UID)
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("/%s: %w", name, syscall.ELOOP)
		}
		if path.IsAbs(e.Link) {
			done = "."
		}
		todo = append(strings.Split(e.Link, "/"), todo...)
	}
	return done, nil
}

// missing returns the path of what is not there.
func missing(here string, rest []string) (string, error) {
	real := path.Join(append([]string{here}, rest...)...)
	if !plist.Within(real, here) {
		return "", fmt.Errorf("/%s: %w", here, fs.ErrNotExist)
	}
	return real, nil
}
