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
// names are now two files, and would not be elsewhere. Nothing tells that from a name that
// was replaced, since an overlay without an index does not keep the origin of such a copy
// (fs/overlayfs/copy_up.c, ovl_copy_up_one). Where all names are one file again, they were replaced.
func (w *walker) parted() {
	if !w.layer.parts() {
		return
	}
	for names := range w.links.groups(wasInode) {
		if was := w.links.lowers[wasInode(&names[0])]; names[0].before.Nlink < 2 || was.met == was.nlink && !differ(names, isInode) {
			continue
		}
		for _, n := range names {
			if e := &w.list[n.entry]; e.Op == plist.OpModify && e.Changed != 0 && e.Changed&plist.ChangedType == 0 {
				w.notes = append(w.notes, plist.Note{
					Kind: plist.NoteLost,
					Text: fmt.Sprintf("%q had other names: if it was changed, and not replaced, they stayed as they were", "/"+e.Path),
				})
			}
		}
	}
}
