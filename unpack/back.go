package unpack

import (
	"maps"
	"path"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// wantOldGone sets the goals of what the old version has and the new one has not:
// what was there before.
func (p *planner) wantOldGone() error {
	if p.old == nil {
		return nil
	}
	for i := range p.old.Installed.Entries {
		was := &p.old.Installed.Entries[i]
		if _, ok := p.named[was.Path]; ok {
			continue
		}
		if above, ok := p.covered[was.Path]; ok {
			p.note(was.Path, "is left: it is package %s's now", above.last)
			continue
		}
		now, err := p.look(was.Path)
		if err != nil {
			return err
		}
		if err := p.wantBack(was, now); err != nil {
			return err
		}
		if g := p.goals[was.Path]; g.entry != nil && g.from == fromStore && p.isBelowNone(was.Path) {
			p.named[was.Path], p.goals[was.Path] = was.Path, goal{} // it comes back when the directory does
		}
	}
	return nil
}

// isBelowNone reports whether no directory is wanted above a path.
func (p *planner) isBelowNone(real string) bool {
	for dir := path.Dir(real); dir != "."; dir = path.Dir(dir) {
		if g, ok := p.goals[dir]; ok && (g.entry == nil || !g.entry.Mode.IsDir()) {
			return true
		}
	}
	return false
}

// wantBack decides about one path of a package that goes.
func (p *planner) wantBack(was, now *plist.Entry) error {
	base := p.old.Displaced.Find(was.Path)
	if now != nil {
		if decided, err := p.wantEditBack(was, now, base); decided || err != nil {
			return err
		}
	}
	switch {
	case now == nil:
		p.restore(was.Path, base)
	case was.Op == plist.OpDelete:
		p.note(was.Path, "is left: it was made after the package had deleted it")
		p.leave(now)
	case now.Mode.IsDir() && was.Mode.IsDir():
		return p.wantDirBack(was, now, base)
	case isEdit(p.was[was.Path]) && base != nil && same(now, was):
		p.restore(was.Path, base)
	case !p.isOurs(was) && (base == nil || !same(now, base)):
		p.note(was.Path, "is left: it is yours")
		p.leave(now)
	case same(now, was):
		p.restore(was.Path, base)
	case p.policy.KeepMine, p.isConfig(was) && !p.policy.Save:
		p.note(was.Path, "is left: it was modified")
		p.leave(now)
	default:
		p.note(was.Path, "was modified; that is kept")
		p.restore(was.Path, base)
	}
	return nil
}

// restore makes what was there before a package the goal.
func (p *planner) restore(real string, base *plist.Entry) {
	if base == nil {
		p.goals[real] = goal{}
		return
	}
	g := goal{entry: base, from: fromStore}
	if now := p.there[real]; now != nil && !contentDiffers(now, base) {
		g.from = fromDisk
	}
	if linkable(base) {
		g.file = "before " + bodyOf(base)
	}
	p.goals[real] = g
}

// checkStored refuses to bring back what the store has not any more. Names of a file
// that lives on need nothing from there.
func (p *planner) checkStored(t *Transaction, all []step) error {
	has := make(map[string]bool)
	live := liveNames(t.Before, t.After)
	for i := range t.After.Entries {
		if e := &t.After.Entries[i]; live[e.Path] {
			has[bodyOf(e)] = true
		}
	}
	for _, s := range all {
		if !s.swaps() || s.after == nil {
			continue
		}
		for _, e := range below(t.After, s.path) {
			if !e.Mode.IsRegular() || p.goals[e.Path].from != fromStore || has[bodyOf(&e)] {
				continue
			}
			has[bodyOf(&e)] = true
			there, err := p.isStored(e.Path)
			if err != nil {
				return err
			}
			if !there {
				p.refuse(e.Path, "", "what was there before is not kept any more")
			}
		}
	}
	return nil
}

func (p *planner) isStored(real string) (bool, error) {
	if p.sources[real] == "" {
		return false, nil
	}
	return p.sys.exists(p.at(keptName, p.sources[real]))
}

func (p *planner) wantDirBack(was, now, base *plist.Entry) error {
	sharer, err := p.sharer(was.Path)
	switch {
	case err != nil:
		return err
	case sharer != nil:
		p.leave(now)
	case base == nil:
		p.goals[was.Path] = goal{} // if it is empty: see wantEmptied
	case !base.Mode.IsDir():
		p.restore(was.Path, base)
	case capture.Difference(was, now) != 0:
		p.leave(now)
	default:
		back := *base
		back.ModTime = now.ModTime
		p.goals[was.Path] = goal{entry: &back}
	}
	return nil
}

// checkParents refuses to put anything where there is no directory for it: another
// package, or the user, has made something else of that.
func (p *planner) checkParents() error {
	for _, real := range slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths) {
		if p.goals[real].entry == nil || p.there[real] != nil || real == "." {
			continue
		}
		dir := path.Dir(real)
		g, ok := p.goals[dir]
		if !ok {
			now, err := p.look(dir)
			if err != nil {
				return err
			}
			g.entry = now
		}
		if g.entry == nil || !g.entry.Mode.IsDir() {
			p.refuse(real, "", "can not come back: /%s is no directory", dir)
		}
	}
	return nil
}

// wantEmptied keeps the directories that something stays in, and refuses to put
// anything in their place.
func (p *planner) wantEmptied() error {
	for _, real := range slices.Backward(slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths)) {
		now, g := p.there[real], p.goals[real]
		if now == nil || !now.Mode.IsDir() || g.entry != nil && g.entry.Mode.IsDir() {
			continue
		}
		names, err := p.sys.readDir(real)
		if err != nil {
			return err
		}
		for _, name := range names {
			child := path.Join(real, name)
			if cg, ok := p.goals[child]; ok && cg.entry == nil {
				continue
			}
			switch {
			case g.entry == nil:
				p.note(real, "is left: it holds %s", name)
				p.leave(now)
			case g.from == fromStore:
				p.refuse(real, "", "can not come back: there is a directory that holds %s", name)
			default:
				p.refuse(real, "", "is a directory that holds %s, which the package does not replace", name)
			}
			break
		}
	}
	return nil
}
