package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// origin says where the content of a goal is.
type origin uint8

const (
	fromDisk    origin = iota // where it is now
	fromPackage               // in the package
	fromStore                 // in the store of kept objects
	fromText                  // in planner.texts
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
	policy Policy
	layers []layer // who has what
	old    *Record // of the package itself; nil if it is not installed
	pkg    Package
	was    map[string]*plist.Entry // real path -> entry of the old version, as packaged

	// covered are the paths of the old version that others came to after it.
	covered map[string]cover

	// since are the records of packages that others changed since the transaction that is
	// undone; nil for those that are gone.
	since []*Record

	named   map[string]string // real path -> path in the package
	linked  map[string]bool   // paths in the package that hard links lead to
	there   map[string]*plist.Entry
	inodes  map[string]capture.Inode
	names   map[string]map[string]bool // in directories
	goals   map[string]goal
	sources sourceMap          // of goals from the store
	texts   map[string]string  // of goals from texts, by real path
	bases   *plist.List        // what edited files may become again
	kept    map[string]bool    // libraries of the old version that stay the package's
	merges  []Merge            // of the record to be
	edits   []Edit             // that the transaction makes
	ours    []Edit             // of the record to be
	owners  map[ownerID]uint32 // numbers of the package's accounts that are others here

	refused Refused
	notes   []string
}

// newPlanner makes a planner for a package. Close it.
func (r *Root) newPlanner(name string, policy Policy) (*planner, error) {
	layers, err := r.openLayers()
	if err != nil {
		return nil, err
	}
	p := &planner{
		Root: r, policy: policy, layers: layers,
		named: make(map[string]string), linked: make(map[string]bool), there: make(map[string]*plist.Entry),
		inodes: make(map[string]capture.Inode), names: make(map[string]map[string]bool), goals: make(map[string]goal), sources: make(sourceMap),
		bases: &plist.List{}, texts: make(map[string]string), kept: make(map[string]bool), owners: make(map[ownerID]uint32),
	}
	if err := p.readOld(name); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *planner) close() error { return closeLayers(p.layers) }

// readOld reads what is known of the installed version.
func (p *planner) readOld(name string) (err error) {
	if checkName(name) != nil {
		return nil
	}
	p.old, err = p.own().record(name)
	if err != nil || p.old == nil {
		return err
	}
	p.sources, p.bases = p.old.sources, p.old.Displaced
	if p.was, err = p.packaged(p.old); err != nil {
		return err
	}
	p.findCovered()
	return nil
}

// packaged returns what a package packed, by real paths.
func (r *Root) packaged(rec *Record) (map[string]*plist.Entry, error) {
	l := rec.Packaged.Packed()
	at, dirs := make(map[string]*plist.Entry, len(l.Entries)), newDirs(r, l)
	for i := range l.Entries {
		real, err := dirs.place(l.Entries[i].Path)
		if err != nil {
			return nil, err
		}
		at[real] = &l.Entries[i]
	}
	return at, nil
}

func (p *planner) refuse(path, hint, format string, args ...any) {
	p.refused = append(p.refused, Refusal{Path: path, Reason: fmt.Sprintf(format, args...), Hint: hint})
}

func (p *planner) note(path, format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf("/%s: %s", path, fmt.Sprintf(format, args...)))
}

// PlanUnpack plans to put a package over the root, in the place of the one of the
// same name if there is one. It changes nothing. The error is Refused if the
// root or the package forbid it.
func (r *Root) PlanUnpack(pkg Package, policy Policy) (plan *Plan, err error) {
	l := pkg.List.Packed()
	p, err := r.newPlanner(l.Name, policy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	p.pkg = Package{l, pkg.Tree}
	if err := checkName(l.Name); err != nil {
		p.refuse("", "", "%v", err)
		return nil, p.refused
	}
	if policy.Replace && p.old == nil {
		return nil, fmt.Errorf("%s: %w", l.Name, ErrNotInstalled)
	}
	for _, want := range []func() error{p.wantLines, p.wantPackage, p.wantOldGone, p.wantLibraries, p.wantEdits} {
		if err := want(); err != nil {
			return nil, err
		}
	}
	p.noteShared(pkg.List)
	t := Transaction{Verb: "unpack", Name: l.Name, Version: l.Version}
	if p.old != nil {
		t.Verb = "replace"
	}
	if plan, err = p.plan(t); err != nil {
		return nil, err
	}
	if err := p.verify(pkg.List); err != nil {
		return nil, err
	}
	if plan.others, err = p.inherited(&plan.Transaction); err != nil {
		return nil, err
	}
	if plan.Is, err = p.record(plan, pkg.List); err != nil {
		return nil, err
	}
	plan.setRecords()
	for _, rec := range plan.recordsToBe() {
		p.checkDisplaced(rec)
	}
	if len(p.refused) > 0 {
		return nil, p.refused
	}
	return plan, nil
}

// PlanRemove plans to take an installed package away, and to bring back what was
// there before it.
func (r *Root) PlanRemove(name string, policy Policy) (plan *Plan, err error) {
	p, err := r.newPlanner(name, policy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if p.old == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNotInstalled)
	}
	p.edits = inverse(p.old.Edits)
	for _, want := range []func() error{p.wantOldGone, p.wantLibraries, p.wantEdits} {
		if err := want(); err != nil {
			return nil, err
		}
	}
	if plan, err = p.plan(Transaction{Verb: "remove", Name: name, Version: p.old.Packaged.Version}); err != nil {
		return nil, err
	}
	if plan.others, err = p.inherited(&plan.Transaction); err != nil {
		return nil, err
	}
	plan.setRecords()
	return plan, nil
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

// plan makes the goals a transaction.
func (p *planner) plan(t Transaction) (*Plan, error) {
	if err := errors.Join(p.wantEmptied(), p.checkParents()); err != nil {
		return nil, err
	}
	if len(p.refused) > 0 {
		return nil, p.refused
	}
	var err error
	if t.Number, err = p.nextNumber(); err != nil {
		return nil, err
	}
	if t.Number > 1 {
		if t.Previous, err = p.journalDigest(p.at(historyName, strconv.Itoa(t.Number-1))); err != nil {
			return nil, err
		}
	}
	t.Time, t.Edits = p.now(), p.edits
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
	return &Plan{Transaction: t, Notes: p.notes, Was: p.old, open: p.open, pristine: p.openPristine}, nil
}

// checkSteps looks for what would stop a step that is planned.
func (p *planner) checkSteps(t *Transaction) error {
	all := steps(t.Before, t.After)
	p.noteOtherNames(t.Before, all)
	if err := p.checkStored(t, all); err != nil {
		return err
	}
	for _, s := range all {
		if s.before != nil && s.before.Flags&pinned != 0 {
			p.refuse(s.path, "chattr -ia /"+s.path, "is immutable or append-only")
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
