package unpack

import (
	"io/fs"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// wantOver decides what happens to what is in the way of an entry.
func (p *planner) wantOver(e, now *plist.Entry) error {
	if e.Mode.IsDir() && now.Mode.Type() == fs.ModeSymlink && e.Changed&plist.ChangedType == 0 {
		return p.wantThrough(e, now)
	}
	was, packaged := p.installed(e.Path), p.was[e.Path]
	switch {
	case was == nil && same(now, e):
		p.leave(now)
		if p.isLinked(e) {
			p.join(e)
		}
	case isEdit(e):
		return p.wantEdited(e, now)
	case was != nil && p.isConfig(e) && p.isConfig(packaged) && !p.policy.Save && contentDiffers(now, packaged):
		p.wantConfig(e, now, packaged)
	case was != nil && p.isOurs(was) && same(now, was):
		p.want(e, fromPackage)
	case p.policy.KeepMine:
		p.note(e.Path, "stays as it is; the package's is left out")
		p.leave(now)
	case was != nil || p.policy.Save || p.takes(e.Path):
		if !p.takes(e.Path) {
			p.note(e.Path, "gives way to the package's, and is kept")
		}
		p.want(e, fromPackage)
	default:
		p.refuse(e.Path, giveWay, "is there already, is different, and belongs to no package")
	}
	return nil
}

// isOurs reports whether what the old version had at a path when it was installed is
// the package's: it may have left a file of the user there.
func (p *planner) isOurs(was *plist.Entry) bool {
	packaged := p.was[was.Path]
	return packaged == nil || isAdjustment(packaged) || !contentDiffers(was, packaged)
}

const giveWay = "--save keeps yours aside, --keep-mine leaves it and the package's out"

// wantThrough is about a directory of the package where a symlink is: it stays if
// it leads to a directory.
func (p *planner) wantThrough(e, now *plist.Entry) error {
	real, err := p.resolve(e.Path)
	if err != nil {
		p.refuse(e.Path, "", "%v", err)
		return nil
	}
	target, err := p.look(real)
	if err != nil {
		return err
	}
	if target == nil || !target.Mode.IsDir() {
		p.refuse(e.Path, "", "is a symlink to no directory")
		return nil
	}
	p.leave(now)
	return nil
}

// installed returns what the old version of the package has at a path, if nobody came
// there after it.
func (p *planner) installed(real string) *plist.Entry {
	if !p.holds(real) {
		return nil
	}
	if e := p.old.Installed.Find(real); e != nil && e.Op != plist.OpDelete {
		return e
	}
	return nil
}

// same compares what two entries say of a file, but for times: to be written
// again is no change.
func same(a, b *plist.Entry) bool {
	c := *b
	c.ModTime = a.ModTime
	return capture.Difference(a, &c) == 0
}

// An other is another package that has a path.
type other struct {
	owner
	in layer
}

func (o *other) String() string {
	if o.in.base != "" {
		return o.name + " of " + o.in.base
	}
	return o.name
}

// otherOwner returns the other package that has something at a path, of several the
// one that was installed last; nil if there is none. Those of bases come first.
func (p *planner) otherOwner(real string) *other {
	for _, l := range slices.Backward(p.layers) {
		for _, o := range slices.Backward(l.find(real)) {
			if l.base == "" && p.old != nil && o.name == p.old.Name() {
				continue
			}
			return &other{o, l}
		}
	}
	return nil
}

// shares reports whether an entry leaves alone what another package has there:
// packages share directories.
func (p *planner) shares(e, now *plist.Entry) bool {
	return now != nil && e.Op != plist.OpDelete && e.Mode.IsDir() && e.Changed == 0
}

// takes reports whether the package may have what is another's.
func (p *planner) takes(real string) bool {
	return slices.Contains(p.policy.Take, real) || p.named[real] != "" && slices.Contains(p.policy.Take, p.named[real])
}
