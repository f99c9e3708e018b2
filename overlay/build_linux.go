package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A rig is all that was built for a run: mounts to be attached inside, and the
// layers to be read afterwards.
type rig struct {
	flavour
	root    string
	staging *staging
	points  *staging     // of mount points, where they could not be in staging; else nil
	server  *fuse.Server // of unions over FUSE, once there is one
	sites   []site
	mounts  []sandbox.Mount
	files   []*os.File // of mounts, by their number
	layers  []layer    // the root's first
	twins   []twin     // files
	views   []site     // what is shown at the place of its twin, too
	notes   []plist.Note
}

// prepare surveys the host and builds the mounts for a root. The caller closes
// the rig, even after an error.
func prepare(root, stagingDir string, shareRun bool, f flavour) (*rig, error) {
	r := &rig{root: root, flavour: f}
	s, err := look(root)
	if err != nil {
		return r, err
	}
	if r.staging, err = newStaging(stagingDir, r.flavour); err != nil {
		return r, err
	}
	r.sites, r.notes = s.layout(choices{shareRun: shareRun, staging: r.staging.path})
	return r, r.buildAll()
}

// buildAll makes the mounts of all sites, twins last.
func (r *rig) buildAll() error {
	for _, twins := range []bool{false, true} {
		for _, p := range r.sites {
			if (p.twin != "") != twins {
				continue
			}
			if err := r.build(p); err != nil && !p.vanished(err) {
				return fmt.Errorf("prepare what is on %s inside: %w", p.name(), err)
			}
		}
	}
	slices.SortStableFunc(r.mounts, func(a, b sandbox.Mount) int { return plist.ComparePaths(a.Target, b.Target) })
	return nil
}

// close lets go of everything and removes the staging directory.
func (r *rig) close() error {
	for _, l := range r.layers {
		r.files = append(r.files, l.lower, l.merged, l.upper)
	}
	for _, f := range r.files {
		_ = f.Close() // only a handle; nil for the upper of a file, twice for a merged
	}
	r.files, r.layers = nil, nil
	var errs []error
	if r.server != nil {
		errs = append(errs, r.server.Close())
	}
	for _, s := range []*staging{r.staging, r.points} {
		if s != nil {
			errs = append(errs, s.remove())
		}
	}
	return errors.Join(errs...)
}

func (r *rig) hole(p site, text string, err error) {
	r.notes = append(r.notes, plist.Note{
		Kind: plist.NoteHole,
		Text: fmt.Sprintf("%s (%s) %s: %v", p.name(), p.fstype, text, err),
	})
}

// attach adds a detached mount to the plan.
func (r *rig) attach(p site, f *os.File) {
	r.mounts = append(r.mounts, sandbox.Mount{Target: p.path, File: len(r.files)})
	r.files = append(r.files, f)
}

// build makes the mount of one site.
func (r *rig) build(p site) error {
	switch p.how {
	case overlaid:
		return r.buildOverlay(p)
	case skeleton:
		return r.buildSkeleton(p)
	case copied:
		return r.buildCopy(p)
	case bound, boundTree:
		return r.buildBind(p)
	case hidden:
		m, err := newMount(fsContext{fstype: "tmpfs", options: []string{"mode=000", "size=4k"}, attr: unix.MOUNT_ATTR_RDONLY})
		if err == nil {
			r.attach(p, m)
		}
		return err
	case terminals:
		if err := r.buildTerminals(p); err != nil {
			r.hole(p, "is not shown inside", err)
		}
	case fresh:
		r.mounts = append(r.mounts, sandbox.Mount{Target: p.path, File: -1, Type: p.fstype})
	case readOnly:
		r.mounts = append(r.mounts, sandbox.Mount{Target: p.path, File: -1})
	}
	return nil
}

// buildOverlay makes an overlay, or binds a part of another one that has the same
// directory, or, where the file system can be no layer of one,
// a read-only bind mount and a hole.
func (r *rig) buildOverlay(p site) error {
	if m, _ := r.bindTwin(p); m != nil {
		r.attach(p, m)
		r.views = append(r.views, p)
		return nil
	}
	err := r.tryOverlay(p)
	if err == nil {
		return nil
	}
	if p.path == "." {
		return fmt.Errorf("mount an overlay on %s: %w", p.from, err)
	}
	why := err
	p.how, p.attr = bound, unix.MOUNT_ATTR_RDONLY
	if err = r.buildBind(p); err == nil {
		r.hole(p, "could not be made writable inside", why)
	}
	return err
}

// vanished reports whether a site's mount point was gone, or is, when an error came:
// then the command does not find it either. Container engines mount and unmount all
// the time.
func (s *site) vanished(err error) bool {
	if s.path == "." || s.from == "" {
		return false
	}
	var at *fs.PathError
	if errors.As(err, &at) && at.Path == s.from && errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, err = os.Lstat(s.from)
	return errors.Is(err, fs.ErrNotExist)
}

func (r *rig) tryOverlay(p site) error {
	// By path, and not by the clone below: before Linux 6.15 a layer must lie on a
	// mount of the caller's namespace.
	lower, err := os.OpenFile(p.from, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer lower.Close()
	lowers := []*os.File{lower}
	if p.path == "." {
		points, err := r.mountPoints()
		if err != nil {
			return err
		}
		if points != nil {
			defer points.close()
			lowers = append(lowers, points.File)
		}
	}
	err = r.union(p, lowers)
	if err != nil {
		return &namedError{err, strings.NewReplacer(procFD(lower), p.from)}
	}
	return nil
}

// A namedError is one whose sentence, the kernel's, should name what users know.
type namedError struct {
	error
	names *strings.Replacer
}

func (e *namedError) Error() string { return e.names.Replace(e.error.Error()) }
func (e *namedError) Unwrap() error { return e.error }

// union makes the overlay of a site on lower directories; the first is the one
// that the result is compared with.
func (r *rig) union(p site, lowers []*os.File) error {
	room, err := r.staging.room("upper", "work")
	if err != nil {
		return err
	}
	defer room.close()
	if err := dress(room.path("upper"), procFD(lowers[0])); err != nil {
		return fmt.Errorf("copy the attributes of its root: %w", err)
	}
	l := layer{path: p.path, flavour: r.flavour}
	if l.lower, err = r.openLower(procFD(lowers[0])); err != nil {
		return err
	}
	if l.merged, err = r.mountMerged(l.lower, lowers, room, p.attr); err != nil {
		return errors.Join(err, l.lower.Close())
	}
	if l.upper, err = os.Open(room.path("upper")); err != nil {
		return errors.Join(err, l.merged.Close(), l.lower.Close())
	}
	if !r.userxattr && !r.fuse && !keepsLinks(room) {
		r.notes = append(r.notes, plist.Note{
			Kind: plist.NoteLost,
			Text: fmt.Sprintf("the names of one hard-linked file below %s (%s) part when it is written: the file system has no file handles", p.name(), p.fstype),
		})
	}
	r.layers = append(r.layers, l)
	// The layer keeps the descriptor of the mount: when the sandbox's namespace
	// ends, so do the mounts below it, but not this one.
	r.attach(p, l.merged)
	return nil
}

// mountMerged mounts the overlay of lower directories; of the first one, clone is what
// reading it leaves no access times.
func (r *rig) mountMerged(clone *os.File, lowers []*os.File, room *room, attr uint64) (*os.File, error) {
	if r.fuse {
		return r.mountUnion(append([]*os.File{clone}, lowers[1:]...), room, attr)
	}
	paths := make([]string, len(lowers))
	for i, f := range lowers {
		paths[i] = procFD(f)
	}
	return mountOverlay(paths, room, attr)
}

// openLower opens what an overlay is compared with. Reading it leaves no access
// times, where that is to be had: not in a user namespace, which may not change
// what a mount of the host does with them (mount_namespaces(7)).
func (r *rig) openLower(dir string) (*os.File, error) {
	if r.userxattr {
		return os.Open(dir)
	}
	return cloneMount(dir, 0, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOATIME)
}
