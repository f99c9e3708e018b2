package overlay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/overlay/fuse"
)

// handOut opens a file of the tree for a process outside. A union over FUSE that was
// mounted in a user namespace answers nobody outside of it (fuse(4), allow_other), so
// that of what upper has not by that name there is a copy.
func (a *agent) handOut(path string) (*os.File, error) {
	i := a.tree.layerOf(path)
	if !a.rig.fuse || i < 0 || a.tree.layers[i].upper == nil {
		return a.tree.openFile(path)
	}
	l := &a.tree.layers[i]
	o := opener{root: l.upper}
	defer o.close()
	fd, err := o.open(l.inside(path))
	if err == nil {
		return os.NewFile(uintptr(fd), path), nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	from, err := a.tree.openFile(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return a.copyOf(from)
}

// copyOf returns a copy without a name.
func (a *agent) copyOf(from *os.File) (*os.File, error) {
	info, err := from.Stat()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(a.rig.staging.dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "copy", Path: from.Name(), Err: err}
	}
	to := os.NewFile(uintptr(fd), from.Name())
	if err := fuse.CopyData(fd, int(from.Fd()), info.Size()); err != nil {
		return nil, errors.Join(&os.PathError{Op: "copy", Path: from.Name(), Err: err}, to.Close())
	}
	return to, nil
}
