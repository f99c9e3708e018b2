package overlay

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// identify tells by upper who a file is. In a user namespace, without privilege,
// an overlay has no index: of one file in upper it may show two names as two files,
// with numbers that come and go with its cache; and the names of a lower file part
// when one is copied up.
func (w *walker) identify(f *finding) error {
	upper, err := kind(w.upper, f.name)
	if err != nil || upper == nil {
		return err
	}
	f.after.Inode = upper.Inode
	if !f.after.Mode.IsRegular() {
		return nil // nothing else has attributes of that kind (xattr(7))
	}
	fd, err := unix.Openat(w.upper.fd, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	f.after.copiedUp, err = hasXattr(fd, w.layer.privateXattrs()+"origin", "no value is this")
	return err
}

// parted notes the files that had several names, of which one was changed: these
// names are now two files, and would not be elsewhere.
func (w *walker) parted() {
	if !w.layer.parts() {
		return
	}
	for _, n := range w.links.names {
		e := &w.list[n.entry]
		if n.copiedUp && n.before.Nlink > 1 && e.Op == plist.OpModify && e.Changed != 0 {
			w.notes = append(w.notes, plist.Note{
				Kind: plist.NoteLost,
				Text: fmt.Sprintf("%q was one of several names of a file, and when it was changed the others stayed as they were", "/"+e.Path),
			})
		}
	}
}
