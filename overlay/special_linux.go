package overlay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// buildBind makes a bind mount, or a hole of what cannot be bound.
func (r *rig) buildBind(p site) error {
	flags := uint(unix.AT_SYMLINK_NOFOLLOW)
	if p.how == boundTree {
		flags |= unix.AT_RECURSIVE
	}
	m, err := cloneMount(p.from, flags, p.attr)
	switch {
	case errors.Is(err, fs.ErrNotExist): // gone since the survey
		return nil
	case err != nil && p.fstype == "device":
		return err // without a bind it would be open to writers
	case err != nil:
		r.hole(p, "is not shown inside", err)
		return nil
	}
	r.attach(p, m)
	return nil
}

// buildTerminals makes a devpts for the sandbox alone. To open a terminal the kernel looks
// for the file system of ptmx, or for one on pts in the directory of ptmx
// (Documentation/filesystems/devpts.rst): a bind mount of the host's ptmx has neither.
func (r *rig) buildTerminals(p site) (err error) {
	m, err := newMount(fsContext{
		fstype: p.fstype, options: []string{"newinstance", "ptmxmode=0666", "mode=0620"},
		attr: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	// Before Linux 6.15 a file can only be bound from a mount of the caller's namespace.
	// Here it is on the root directory, as is the mirror: that hides nothing.
	if err := unix.MoveMount(int(m.Fd()), "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach %s: %w", p.fstype, err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(procFD(m), unix.MNT_DETACH)) }()
	for name, from := range map[string]string{p.path: procFD(m), path.Dir(p.path) + "/ptmx": procFD(m) + "/ptmx"} {
		clone, err := cloneMount(from, 0, 0)
		if err != nil {
			return err
		}
		r.attach(site{path: name}, clone)
	}
	return nil
}

// buildCopy gives the sandbox a private copy of a mounted file: no overlay can be
// mounted on a file, and through a bind mount the original would be written.
// Another copy tells what it was, whatever the host does to the original meanwhile.
func (r *rig) buildCopy(p site) error {
	name := filepath.Base(p.from)
	before, err := r.staging.room()
	if err != nil {
		return err
	}
	after, err := r.staging.room()
	if err != nil {
		before.close()
		return err
	}
	r.layers = append(r.layers, layer{path: p.path, lower: before.File, merged: after.File})
	if err := copyFile(before.path(name), p.from); err != nil {
		return err
	}
	if m, lower := r.bindTwin(p); m != nil {
		r.attach(p, m)
		r.twins = append(r.twins, twin{lower: lower, mount: m, before: before.path(name), after: after.path(name)})
		return nil
	}
	if err := copyFile(after.path(name), before.path(name)); err != nil {
		return err
	}
	m, err := cloneMount(after.path(name), 0, p.attr)
	if err != nil {
		return err
	}
	r.attach(p, m)
	return nil
}

// A twin is a file of an overlay that is mounted elsewhere too.
type twin struct {
	lower         string // host path of what the overlay has below it
	mount         *os.File
	before, after string // copies, where the harvest looks for them
}

// bindTwin binds what another overlay has of the file or directory that is mounted
// at a site, and tells where it is in the lower layer; nil if that can not be done.
// Before Linux 6.15 what is not attached can not be bound: then the two names lead
// to different files inside.
func (r *rig) bindTwin(p site) (m *os.File, lower string) {
	if p.twin == "" {
		return nil, ""
	}
	// The mount table may speak of a file that was since replaced.
	here, err := os.Stat(p.from)
	if err != nil {
		return nil, ""
	}
	there, err := os.Lstat(filepath.Join(r.root, p.twin))
	if err != nil || !os.SameFile(here, there) {
		return nil, ""
	}
	i := slices.IndexFunc(r.layers, func(l layer) bool { return l.path == p.twinIn && l.upper != nil })
	if i < 0 {
		return nil, ""
	}
	l := &r.layers[i]
	m, err = cloneMount(procFD(l.merged)+"/"+l.inside(p.twin), unix.AT_SYMLINK_NOFOLLOW, p.attr)
	if err != nil {
		return nil, ""
	}
	return m, procFD(l.lower) + "/" + l.inside(p.twin)
}

// settle copies the twins to where the harvest compares them. What was not copied
// up is still the host's file: if that has changed, the host did it.
func (r *rig) settle() error {
	for _, t := range r.twins {
		from := procFD(t.mount)
		if t.isLower() {
			from = t.before
		}
		if err := copyFile(t.after, from); err != nil {
			return err
		}
	}
	return nil
}

// isLower reports whether a twin shows the host's file: a copy-up, too, has a
// change time of its own.
func (t *twin) isLower() bool {
	var shown, lower unix.Stat_t
	return unix.Stat(procFD(t.mount), &shown) == nil &&
		unix.Lstat(t.lower, &lower) == nil &&
		shown.Ctim == lower.Ctim && shown.Size == lower.Size
}

// copyFile copies a regular file with its attributes.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return dress(to, procFD(in))
}

// buildSkeleton makes an overlay on a few directories that take the place of what
// is there: a /run in which no daemon of the host can be found.
func (r *rig) buildSkeleton(p site) error {
	room, err := r.staging.room("lower")
	if err != nil {
		return err
	}
	defer room.close()
	lower := room.path("lower")
	if err := r.furnish(lower, p); err != nil {
		return err
	}
	if err := dress(lower, p.from); err != nil {
		return err
	}
	dir, err := os.Open(lower)
	if err != nil {
		return err
	}
	defer dir.Close()
	return r.union(p, []*os.File{dir})
}

// furnish puts into a skeleton what programs expect of /run: the directory of
// locks, and the name servers if /etc/resolv.conf leads here; and the mount
// points of the disks that are mounted below.
func (r *rig) furnish(lower string, p site) error {
	for _, q := range r.sites {
		if rel, ok := below(q.path, p.path); ok {
			if err := makeDirs(lower, rel); err != nil {
				return err
			}
		}
	}
	err := os.Mkdir(lower+"/lock", 0o755)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	} else if err == nil {
		err = dress(lower+"/lock", p.from+"/lock")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.furnishResolver(lower, p)
}

func (r *rig) furnishResolver(lower string, p site) error {
	const conf = "etc/resolv.conf"
	target, err := os.Readlink(filepath.Join(r.root, conf))
	if err != nil {
		return nil // no symlink: it is where it is
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join("/etc", target)
	}
	rel, ok := below(filepath.Clean(target), "/"+p.path)
	if !ok {
		return nil
	}
	text, err := os.ReadFile("/" + conf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := makeDirs(lower, path.Dir(rel)); err != nil {
		return err
	}
	if err := os.WriteFile(lower+"/"+rel, text, 0o644); err != nil {
		return err
	}
	return os.Chmod(lower+"/"+rel, 0o644)
}

// makeDirs makes rel and what is above it, open to all whatever the umask is.
func makeDirs(base, rel string) error {
	if rel == "." {
		return nil
	}
	if err := makeDirs(base, path.Dir(rel)); err != nil {
		return err
	}
	if err := os.Mkdir(base+"/"+rel, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(base+"/"+rel, 0o755)
}

// mountPoints returns directories for those sites that a root, a bare one, has
// no directory for; nil if it has them all. As a second lower they can be mounted
// on without being a change.
func (r *rig) mountPoints() (*room, error) {
	var missing []string
	for _, p := range r.sites {
		if p.path == "." || strings.Contains(p.path, "/") {
			continue
		}
		if _, err := os.Lstat(filepath.Join(r.root, p.path)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, p.path)
		}
	}
	if missing == nil {
		return nil, nil
	}
	home := r.staging
	if _, inside := below(home.path, r.root); inside { // one lower must not lie in another
		var err error
		if home, err = stageInMemory(r.flavour); err != nil {
			return nil, fmt.Errorf("make mount points: %w", err)
		}
		r.points = home
	}
	room, err := home.room(missing...)
	if err != nil {
		return nil, fmt.Errorf("make mount points: %w", err)
	}
	return room, nil
}
