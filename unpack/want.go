package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
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
		e.UID, e.GID = p.ownerHere(accountUser, e.UID), p.ownerHere(accountGroup, e.GID)
		e.Xattrs = withoutMachines(maps.Clone(e.Xattrs))
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
	if err := p.checkFolding(); err != nil {
		return err
	}
	return p.wantParents()
}

// noteShared tells what the installation did to files that belong to no package,
// and what is to be done instead: once for each rule. What is done here is not told.
func (p *planner) noteShared(l *plist.List) {
	told := linesOf(l)
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
	if errors.Is(err, syscall.ENAMETOOLONG) {
		p.refuse(e.Path, "", "%v", syscall.ENAMETOOLONG)
		return nil
	}
	if err != nil {
		return err
	}
	if now != nil {
		if spelt, err := p.isSpelt(e.Path); !spelt || err != nil {
			return err
		}
	}
	if e = p.asUser(e); !p.checkEntry(e, now) {
		return nil
	}
	if owner := p.otherOwner(e.Path); owner != nil && !p.shares(e, now) && !p.holds(e.Path) {
		if !p.takes(e.Path) {
			p.refuse(e.Path, "--take /"+e.Path+" lets this package have it as long as it is installed", "belongs to package %s", owner)
			return nil
		}
		p.note(e.Path, "is taken from package %s, and comes back with the removal", owner)
	}
	switch {
	case e.Op == plist.OpDelete:
		p.wantDeleted(e, now)
	case e.Mode.Type() == fs.ModeSocket:
		p.note(e.Path, "is a socket; the program that listens there makes it")
		delete(p.named, e.Path)
	case isAdjustment(e):
		p.wantAdjusted(e, now)
	case now == nil && p.isConfig(p.was[e.Path]) && p.holds(e.Path):
		p.note(e.Path, "was deleted and stays so")
		p.goals[e.Path] = goal{}
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
	adjust(&a, e)
	p.leave(&a)
	if linkable(e) && p.isLinked(e) {
		p.join(e)
	}
}

// adjust gives a file the attributes that an installation changed.
func adjust(a, e *plist.Entry) {
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
	case e.Digest != plist.Digest{} && e.Digest != capture.Held(now) && !p.isUnmodified(now):
		if !p.policy.Save {
			p.refuse(e.Path, giveWay, "is deleted by the package, and is not what the installation deleted")
			return
		}
		p.note(e.Path, "gives way, and is kept")
		p.goals[e.Path] = goal{}
	default:
		p.goals[e.Path] = goal{}
	}
}

// isUnmodified reports whether a file is as the old version of the package has it.
func (p *planner) isUnmodified(now *plist.Entry) bool {
	was := p.installed(now.Path)
	return was != nil && !contentDiffers(now, was)
}

// wantDir is about a directory that is there already.
func (p *planner) wantDir(e, now *plist.Entry) {
	if p.old != nil && p.old.Installed.Find(e.Path) != nil && p.old.Displaced.Find(e.Path) == nil && p.otherOwner(e.Path) == nil {
		p.want(e, fromPackage) // the old version made it
		return
	}
	if now.Mode != e.Mode || now.UID != e.UID || now.GID != e.GID {
		p.note(e.Path, "stays as it is: mode %#o, owner %d:%d; the package has mode %#o, owner %d:%d",
			plist.UnixPerm(now.Mode), now.UID, now.GID, plist.UnixPerm(e.Mode), e.UID, e.GID)
	}
	p.leave(now)
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
	case p.old != nil && p.old.Installed.Find(dir) != nil, p.otherOwner(dir) != nil: // packages share what they need
		p.named[dir] = dir
	}
	p.leave(now)
	_, err = p.isSpelt(dir)
	return err
}
