package hashdiff

import (
	"cmp"
	"fmt"
	"slices"
)

// A found is a live tree that another process took its snapshot of. Since then the
// machine may have been started again, and its devices have other numbers: on btrfs,
// overlayfs and tmpfs every mount has another one.
type found struct {
	scope   Scope
	devices map[uint64]uint64 // the numbers they have now, by those they had
}

// renumber gives the record of before the number that its device has now. That is learned
// from the first directory on it, which is where it is mounted, or a path of the scope.
func (f *found) renumber(p *pair) error {
	if p.before == nil {
		return nil
	}
	was := &p.before.Stamp
	if _, known := f.devices[was.Dev]; !known && p.before.Mode.IsDir() {
		now := was.Dev
		switch {
		case p.after != nil && p.after.Stamp.Ino == was.Ino && p.after.Stamp.Born == was.Born:
			now = p.after.Stamp.Dev
		case !slices.Contains(f.scope.Paths, p.before.Path) && (p.after == nil || p.after.Stamp.Dev != was.Dev):
			return fmt.Errorf("%q: the file system that was mounted there is not", "/"+p.before.Path)
		}
		f.devices[was.Dev] = now
	}
	was.Dev = cmp.Or(f.devices[was.Dev], was.Dev)
	return nil
}
