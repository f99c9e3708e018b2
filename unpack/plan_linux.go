package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// origin says where the content of a goal is.
type origin uint8

const (
	fromDisk    origin = iota // where it is now
	fromPackage               // in the package
	fromStore                 // in the store of kept objects
)

// A goal is what one real path is to be.
type goal struct {
	entry *plist.Entry // nil if nothing is to be there
	from  origin
	file  string // goals of one file have the same; "" if the path is a file of its own
}

// A planner compares what is wanted with what is there. It reads only.
type planner struct {
	*Root
	policy  Policy
	records map[string]*Record
	old     *Record // of the package itself; nil if it is not installed
	pkg     Package

	named   map[string]string // real path -> path in the package
	linked  map[string]bool   // paths in the package that hard links lead to
	there   map[string]*plist.Entry
	inodes  map[string]capture.Inode
	goals   map[string]goal
	sources sourceMap // of goals from the store

	refused Refused
	notes   []string
}

func (r *Root) newPlanner(name string, policy Policy) (*planner, error) {
	records, err := r.records()
	if err != nil {
		return nil, err
	}
	p := &planner{
		Root: r, policy: policy, records: records, old: records[name],
		named: make(map[string]string), linked: make(map[string]bool), there: make(map[string]*plist.Entry),
		inodes: make(map[string]capture.Inode), goals: make(map[string]goal), sources: make(sourceMap),
	}
	if p.old != nil {
		p.sources = p.old.sources
	}
	return p, nil
}

func (p *planner) refuse(path, hint, format string, args ...any) {
	p.refused = append(p.refused, Refusal{path, fmt.Sprintf(format, args...), hint})
}

func (p *planner) note(path, format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf("/%s: %s", path, fmt.Sprintf(format, args...)))
}

// PlanUnpack plans to put a package over the root, in the place of the one of the
// same name if there is one. It changes nothing. The error is Refused if the
// root or the package forbid it.
func (r *Root) PlanUnpack(pkg Package, policy Policy) (*Plan, error) {
	l := pkg.List.Packed()
	p, err := r.newPlanner(l.Name, policy)
	if err != nil {
		return nil, err
	}
	p.pkg = Package{l, pkg.Tree}
	if err := checkName(l.Name); err != nil {
		p.refuse("", "", "%v", err)
		return nil, p.refused
	}
	if err := p.wantPackage(); err != nil {
		return nil, err
	}
	p.noteShared(pkg.List)
	if err := p.wantOldGone(); err != nil {
		return nil, err
	}
	t := Transaction{Verb: "unpack", Name: l.Name, Version: l.Version}
	if p.old != nil {
		t.Verb = "replace"
	}
	return p.plan(t)
}

// PlanRemove plans to take an installed package away, and to bring back what was
// there before it.
func (r *Root) PlanRemove(name string, policy Policy) (*Plan, error) {
	p, err := r.newPlanner(name, policy)
	if err != nil {
		return nil, err
	}
	if p.old == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNotInstalled)
	}
	if err := p.wantOldGone(); err != nil {
		return nil, err
	}
	return p.plan(Transaction{Verb: "remove", Name: name, Version: p.old.Packaged.Version, drops: true})
}

// ErrNotInstalled says that there is no package of a name.
var ErrNotInstalled = errors.New("no such package is installed")

// checkName refuses what can not be the name of a directory.
func checkName(name string) error {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00\n") {
		return fmt.Errorf("package name %q: is none", name)
	}
	return nil
}

// look reads what is at a real path, once; nil if nothing is there.
func (p *planner) look(real string) (*plist.Entry, error) {
	if e, ok := p.there[real]; ok {
		return e, nil
	}
	e, inode, err := p.sys.lstat(real, andHash)
	if errors.Is(err, fs.ErrNotExist) {
		p.there[real] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.there[real], p.inodes[real] = &e, inode
	return &e, nil
}

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
		now, err := p.look(was.Path)
		if err != nil {
			return err
		}
		p.wantBack(was, now)
	}
	return nil
}

// wantBack decides about one path of a package that goes.
func (p *planner) wantBack(was, now *plist.Entry) {
	base := p.old.Displaced.Find(was.Path)
	switch {
	case now == nil:
		p.restore(was.Path, base)
	case was.Op == plist.OpDelete:
		p.note(was.Path, "is left: it was made after the package had deleted it")
		p.leave(now)
	case now.Mode.IsDir() && was.Mode.IsDir():
		p.wantDirBack(was, now, base)
	case same(now, was):
		p.restore(was.Path, base)
	case p.policy.KeepMine:
		p.note(was.Path, "is left: it was modified")
		p.leave(now)
	case p.policy.Save:
		p.note(was.Path, "was modified; that is kept")
		p.restore(was.Path, base)
	default:
		p.refuse(was.Path, giveWay, "was modified since it was unpacked")
	}
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
	} else if base.Mode.IsRegular() && p.sources[real] == "" {
		p.refuse(real, "", "what was there before is not kept any more")
		return
	}
	if linkable(base) {
		g.file = "before " + bodyOf(base)
	}
	p.goals[real] = g
}

func (p *planner) wantDirBack(was, now, base *plist.Entry) {
	switch {
	case p.otherOwner(was.Path) != "":
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
			if g.entry != nil {
				p.refuse(real, "", "is a directory that holds %s, which the package does not replace", name)
			} else {
				p.note(real, "is left: it holds %s", name)
				p.leave(now)
			}
			break
		}
	}
	return nil
}

// plan makes the goals a transaction.
func (p *planner) plan(t Transaction) (*Plan, error) {
	if err := p.wantEmptied(); err != nil {
		return nil, err
	}
	if len(p.refused) > 0 {
		return nil, p.refused
	}
	var err error
	if t.Number, err = p.nextNumber(); err != nil {
		return nil, err
	}
	t.Time = time.Now()
	t.Before, t.After = p.before(&t), p.after(&t)
	if err := p.checkSteps(&t); err != nil {
		return nil, err
	}
	if len(p.refused) > 0 {
		return nil, p.refused
	}
	for _, l := range []*plist.List{t.Before, t.After} {
		if err := l.Validate(); err != nil {
			return nil, err
		}
	}
	plan := &Plan{Transaction: t, Notes: p.notes, open: p.open}
	if p.pkg.List != nil {
		plan.record, plan.recorded = p.record(&t), t.Number
	}
	return plan, nil
}

// before lists what is at the goals' paths now.
func (p *planner) before(t *Transaction) *plist.List {
	l := &plist.List{Name: t.Name, Version: t.Version}
	first := make(map[capture.Inode]string)
	for _, real := range slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths) {
		now := p.there[real]
		if now == nil {
			continue
		}
		e := *now
		if inode := p.inodes[real]; linkable(&e) && inode.Nlink > 1 {
			if body, ok := first[inode]; ok {
				e.Link = body
			} else {
				first[inode] = real
			}
		}
		l.Entries = append(l.Entries, e)
	}
	return l
}

// after lists the goals. Names of one file get the attributes of the one that is
// there, if any is.
func (p *planner) after(t *Transaction) *plist.List {
	l := &plist.List{Name: t.Name, Version: t.Version}
	paths := slices.SortedFunc(maps.Keys(p.goals), plist.ComparePaths)
	model := make(map[string]*plist.Entry)
	for _, real := range paths {
		if g := p.goals[real]; g.entry != nil && g.file != "" && (model[g.file] == nil || g.from == fromDisk) {
			model[g.file] = g.entry
		}
	}
	first := make(map[string]string)
	for _, real := range paths {
		g := p.goals[real]
		if g.entry == nil {
			continue
		}
		e := *g.entry
		if g.file != "" {
			e = *model[g.file]
			e.Link = first[g.file]
			if e.Link == "" {
				first[g.file] = real
			}
		}
		e.Op, e.Changed, e.Class, e.Rule, e.Path = plist.OpAdd, 0, plist.ClassChanged, "", real
		l.Entries = append(l.Entries, e)
	}
	return l
}

// checkSteps looks for what would stop a step that is planned.
func (p *planner) checkSteps(t *Transaction) error {
	for _, s := range steps(t.Before, t.After) {
		if s.before != nil && s.before.Flags&pinned != 0 {
			p.refuse(s.path, "chattr -ia /"+s.path, "is immutable or append-only")
		}
		if !s.swaps() {
			continue
		}
		there, err := p.sys.exists(s.temporary(t.Number))
		if err != nil {
			return err
		}
		if there {
			p.refuse(s.path, "", "its temporary name is taken: /%s", s.temporary(t.Number))
		}
	}
	return p.checkSpace(t)
}

// open opens the content of a goal.
func (p *planner) open(e *plist.Entry) (plist.File, error) {
	switch p.goals[e.Path].from {
	case fromPackage:
		return p.pkg.Tree.Open(p.named[e.Path])
	case fromStore:
		return p.openKept(p.sources[e.Path])
	}
	return p.sys.openFile(e.Path)
}

func (r *Root) openKept(source string) (plist.File, error) {
	f, err := r.sys.openFile(r.at(keptName, source))
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// record makes the new record of the package.
func (p *planner) record(t *Transaction) *Record {
	rec := &Record{Transaction: t.Number, Packaged: p.pkg.List, sources: make(sourceMap)}
	mine := func(e *plist.Entry) bool { _, ok := p.named[e.Path]; return ok }
	rec.Installed = subset(t.After, mine)
	for real := range p.named {
		if g := p.goals[real]; g.entry == nil {
			e := plist.Entry{Op: plist.OpDelete, Path: real}
			if named := p.pkg.List.Find(p.named[real]); named != nil {
				e.Mode = named.Mode.Type()
			}
			rec.Installed.Entries = append(rec.Installed.Entries, e)
		}
	}
	rec.Installed.Sort()
	stored := storedBy(t)
	base := &plist.List{}
	for _, real := range slices.SortedFunc(maps.Keys(p.named), plist.ComparePaths) {
		e, fresh := p.base(real, t)
		if e == nil {
			continue
		}
		base.Entries = append(base.Entries, *e)
		switch source := p.sources[real]; {
		case !e.Mode.IsRegular():
		case fresh && stored[real] != "":
			rec.sources[real] = stored[real]
		case !fresh && source != "":
			rec.sources[real] = source
		}
	}
	rec.Displaced = subset(base, func(*plist.Entry) bool { return true })
	for _, l := range []*plist.List{rec.Installed, rec.Displaced} {
		l.Name, l.Version = t.Name, t.Version
	}
	return rec
}

// base returns what was at a path before any package was, and whether that is
// what is there now.
func (p *planner) base(real string, t *Transaction) (e *plist.Entry, fresh bool) {
	if p.old != nil && p.old.Installed.Find(real) != nil {
		return p.old.Displaced.Find(real), false
	}
	if owner := p.otherOwner(real); owner != "" {
		return p.records[owner].Displaced.Find(real), false
	}
	return t.Before.Find(real), true
}

// storedBy says where a transaction keeps what it displaces.
func storedBy(t *Transaction) sourceMap {
	m := make(sourceMap)
	for _, s := range steps(t.Before, t.After) {
		if !s.displaces() {
			continue
		}
		for _, e := range below(t.Before, s.path) {
			m[e.Path] = path.Join(strconv.Itoa(t.Number), strconv.Itoa(s.number)) + e.Path[len(s.path):]
		}
	}
	return m
}
