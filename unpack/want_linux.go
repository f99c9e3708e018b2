package unpack

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// wantPackage sets the goals of all that is in the package.
func (p *planner) wantPackage() error {
	dirs := newDirs(p.Root, p.pkg.List)
	for i := range p.pkg.List.Entries {
		if e := &p.pkg.List.Entries[i]; e.IsHardlink() {
			p.linked[e.Link] = true
		}
	}
	for i := range p.pkg.List.Entries {
		e := p.pkg.List.Entries[i]
		named := e.Path
		real, err := dirs.place(named)
		if err != nil {
			p.refuse(named, "", "%v", err)
			continue
		}
		if other, ok := p.named[real]; ok {
			p.refuse(named, "", "is the same place as /%s here", other)
			continue
		}
		p.named[real] = named
		if plist.Within(real, p.state) || strings.HasPrefix(path.Base(real), temporaryPrefix) {
			p.refuse(named, "", "is a place of sandbox-install's own")
			continue
		}
		e.Path = real
		e.Xattrs = withoutLayout(maps.Clone(e.Xattrs)) // of a package made on XFS
		if e.IsHardlink() {
			if e.Link, err = dirs.place(e.Link); err != nil {
				p.refuse(named, "", "%v", err)
				continue
			}
		}
		if err := p.wantEntry(&e); err != nil {
			return err
		}
	}
	return p.wantParents()
}

// noteShared tells what the installation did to files that belong to no package,
// and what is to be done instead: once for each rule.
func (p *planner) noteShared(l *plist.List) {
	told := make(map[string]bool)
	for i := range l.Entries {
		e := &l.Entries[i]
		if rule := capture.RuleByName(e.Rule); e.Class == plist.ClassShared && rule != nil && !told[e.Rule] {
			told[e.Rule] = true
			p.note(e.Path, "is shared, and not in the package: %s", rule.Action)
		}
	}
}

// wantEntry decides what one entry of the package is to become.
func (p *planner) wantEntry(e *plist.Entry) error {
	now, err := p.look(e.Path)
	if err != nil {
		return err
	}
	e = p.asUser(e)
	if owner := p.otherOwner(e.Path); owner != "" && !p.shares(e, now) {
		p.refuse(e.Path, "", "belongs to package %s", owner)
		return nil
	}
	switch {
	case e.Op == plist.OpDelete:
		p.wantDeleted(e, now)
	case e.Mode&fs.ModeDevice != 0 && !p.policy.Devices:
		p.refuse(e.Path, "--devices lets a package bring device nodes", "is a device node")
	case e.Mode.Type() == fs.ModeSocket:
		p.note(e.Path, "is a socket; the program that listens there makes it")
		delete(p.named, e.Path)
	case isAdjustment(e):
		p.wantAdjusted(e, now)
	case now == nil:
		p.want(e, fromPackage)
	case now.Mode.IsDir() && e.Mode.IsDir():
		p.wantDir(e, now)
	default:
		return p.wantOver(e, now)
	}
	return nil
}

// want sets the goal of an entry's path.
func (p *planner) want(e *plist.Entry, from origin) {
	g := goal{entry: e, from: from}
	if linkable(e) {
		g.file = "package " + bodyOf(e)
	}
	p.goals[e.Path] = g
}

// leave makes what is there the goal.
func (p *planner) leave(now *plist.Entry) {
	g := goal{entry: now}
	if linkable(now) {
		g.file = fmt.Sprint("disk ", p.inodes[now.Path].Dev, p.inodes[now.Path].Ino)
	}
	p.goals[now.Path] = g
}

// adjustable are the changes that do not need the content.
const adjustable = plist.ChangedMode | plist.ChangedOwner | plist.ChangedTime | plist.ChangedXattr | plist.ChangedFlags | plist.ChangedLinks

// isAdjustment reports whether the entry leaves the content alone.
func isAdjustment(e *plist.Entry) bool {
	return e.Op == plist.OpModify && e.Changed&^adjustable == 0
}

// wantAdjusted changes of what is there only what the installation changed.
func (p *planner) wantAdjusted(e, now *plist.Entry) {
	switch {
	case now == nil:
		p.refuse(e.Path, "", "is not there, and the package only changes its %s", e.Changed)
		return
	case now.Mode.Type() != e.Mode.Type():
		p.refuse(e.Path, "", "is another kind of file than the one that the package changes")
		return
	case linkable(e) && p.isLinked(e) && contentDiffers(now, e):
		p.refuse(e.Path, "", "is not the file that the package has more names of")
		return
	}
	a := *now
	set := func(c plist.Change, assign func()) {
		if e.Changed&c != 0 {
			assign()
		}
	}
	set(plist.ChangedMode, func() { a.Mode = e.Mode })
	set(plist.ChangedOwner, func() { a.UID, a.GID = e.UID, e.GID })
	set(plist.ChangedTime, func() { a.ModTime = e.ModTime })
	set(plist.ChangedXattr, func() { a.Xattrs = e.Xattrs })
	set(plist.ChangedFlags, func() { a.Flags = e.Flags })
	p.leave(&a)
	if linkable(e) && p.isLinked(e) {
		p.join(e)
	}
}

// isLinked reports whether the package has another name of the same file.
func (p *planner) isLinked(e *plist.Entry) bool {
	return e.IsHardlink() || p.linked[p.named[e.Path]]
}

// join makes the goal of a path one file with the package's other names of it.
func (p *planner) join(e *plist.Entry) {
	g := p.goals[e.Path]
	g.file = "package " + bodyOf(e)
	p.goals[e.Path] = g
}

func (p *planner) wantDeleted(e, now *plist.Entry) {
	switch {
	case now == nil:
		p.goals[e.Path] = goal{}
	case now.Mode.Type() != e.Mode.Type():
		p.refuse(e.Path, "", "is another kind of file than the one that the package deletes")
	case p.policy.KeepMine:
		p.note(e.Path, "is left, although the package deletes it")
		p.leave(now)
	default:
		p.goals[e.Path] = goal{}
	}
}

// wantDir is about a directory that is there already.
func (p *planner) wantDir(e, now *plist.Entry) {
	if p.old != nil && p.old.Installed.Find(e.Path) != nil && p.old.Displaced.Find(e.Path) == nil && p.otherOwner(e.Path) == "" {
		p.want(e, fromPackage) // the old version made it
		return
	}
	if now.Mode != e.Mode || now.UID != e.UID || now.GID != e.GID {
		p.note(e.Path, "stays as it is: mode %#o, owner %d:%d; the package has mode %#o, owner %d:%d",
			plist.UnixPerm(now.Mode), now.UID, now.GID, plist.UnixPerm(e.Mode), e.UID, e.GID)
	}
	p.leave(now)
}

// wantOver decides what happens to what is in the way of an entry.
func (p *planner) wantOver(e, now *plist.Entry) error {
	if e.Mode.IsDir() && now.Mode.Type() == fs.ModeSymlink && e.Changed&plist.ChangedType == 0 {
		return p.wantThrough(e, now)
	}
	was := p.installed(e.Path)
	switch {
	case was == nil && same(now, e):
		p.leave(now)
		if p.isLinked(e) {
			p.join(e)
		}
	case was == nil && e.Op == plist.OpModify, was != nil && same(now, was):
		p.want(e, fromPackage)
	case was != nil && same(was, e):
		p.note(e.Path, "was modified and stays so; the package's has not changed")
		p.leave(now)
	case p.policy.KeepMine:
		p.note(e.Path, "stays as it is; the package's is left out")
		p.leave(now)
	case p.policy.Save:
		p.note(e.Path, "gives way to the package's, and is kept")
		p.want(e, fromPackage)
	case was != nil:
		p.refuse(e.Path, giveWay, "was modified since it was unpacked")
	default:
		p.refuse(e.Path, giveWay, "is there already, is different, and belongs to no package")
	}
	return nil
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

// installed returns what the old version of the package has at a path.
func (p *planner) installed(real string) *plist.Entry {
	if p.old == nil {
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

// otherOwner returns the name of another package that has something at a path.
func (p *planner) otherOwner(real string) string {
	for _, name := range slices.Sorted(maps.Keys(p.records)) {
		rec := p.records[name]
		if rec == p.old {
			continue
		}
		if e := rec.Installed.Find(real); e != nil && e.Op != plist.OpDelete {
			return name
		}
	}
	return ""
}

// shares reports whether an entry leaves alone what another package has there:
// packages share directories.
func (p *planner) shares(e, now *plist.Entry) bool {
	return now != nil && e.Op != plist.OpDelete && e.Mode.IsDir() && e.Changed == 0
}

// wantParents adds the directories that the package needs and that neither it has
// nor the root, or that the old version had added.
func (p *planner) wantParents() error {
	for _, real := range slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths) {
		child := p.goals[real].entry
		for dir := path.Dir(real); child != nil && dir != "."; dir = path.Dir(dir) {
			g, ok := p.goals[dir]
			if !ok || g.entry == nil {
				if err := p.wantParent(dir, child.ModTime); err != nil {
					return err
				}
				g = p.goals[dir]
			}
			if g.entry != nil && !g.entry.Mode.IsDir() {
				p.refuse(real, "", "is below /%s, which is no directory", dir)
				break
			}
		}
	}
	return nil
}

func (p *planner) wantParent(dir string, made time.Time) error {
	now, err := p.look(dir)
	switch {
	case err != nil:
		return err
	case now == nil:
		e := plist.Entry{Op: plist.OpAdd, Path: dir, Mode: fs.ModeDir | 0o755, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ModTime: made}
		p.want(&e, fromPackage)
		p.named[dir] = dir
		return nil
	case p.old != nil && p.old.Installed.Find(dir) != nil:
		p.named[dir] = dir
	}
	p.leave(now)
	return nil
}

// asUser returns the entry as this user can have it.
func (p *planner) asUser(e *plist.Entry) *plist.Entry {
	if os.Geteuid() == 0 || !e.Described() {
		return e
	}
	own := *e
	own.UID, own.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	if own.UID != e.UID && own.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !own.Mode.IsDir() {
		own.Mode &^= fs.ModeSetuid | fs.ModeSetgid
		p.note(e.Path, "is not set-id, because it will be yours")
	}
	own.Xattrs = maps.Clone(e.Xattrs)
	maps.DeleteFunc(own.Xattrs, func(name, _ string) bool {
		theirs := strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
		if theirs {
			p.note(e.Path, "%s is left out: only the superuser may set it", name)
		}
		return theirs
	})
	if len(own.Xattrs) == 0 {
		own.Xattrs = nil
	}
	return &own
}
