package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// PlanUndo plans to bring back what was there before a transaction; 0 means the
// last one that is neither an undo nor undone. Where the root is not as the
// transaction left it, that is refused, or what Policy's Save and KeepMine say.
func (r *Root) PlanUndo(number int, policy Policy) (plan *Plan, err error) {
	if number == 0 {
		if number, err = r.lastDone(); err != nil {
			return nil, err
		}
	}
	dir := r.at(historyName, strconv.Itoa(number))
	t, err := r.readJournal(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no transaction %d in the history", number)
	}
	if err != nil {
		return nil, err
	}
	p, err := r.newPlanner(t.Name, policy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.checkRecord(t); err != nil {
		return nil, err
	}
	p.sources, p.edits, p.bases = storedBy(t), inverse(t.Edits), t.Before
	if err := p.wantUndone(t); err != nil {
		return nil, err
	}
	if err := p.wantEdits(); err != nil {
		return nil, err
	}
	plan, err = p.plan(Transaction{Verb: "undo", Undoes: number, Name: t.Name, Version: t.Version})
	if err != nil {
		return nil, err
	}
	return plan, p.wantRecords(t, plan)
}

// wantRecords makes the records that a transaction changed those that come back.
func (p *planner) wantRecords(t *Transaction, plan *Plan) error {
	old, err := p.oldRecords(t.Number)
	if err != nil {
		return err
	}
	plan.recorded = make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(t.recorded)) {
		rec := old[name]
		if rec == nil {
			plan.recorded[name] = 0
			continue
		}
		plan.recorded[name] = rec.written
		if err := p.checkRemovable(rec); err != nil {
			return err
		}
		if name == t.Name {
			plan.Is, plan.Version = rec, rec.Packaged.Version
		} else {
			plan.others = append(plan.others, rec)
		}
	}
	return nil
}

// checkRemovable refuses a record that comes back if the package could not be removed
// any more.
func (r *Root) checkRemovable(rec *Record) error {
	for real, source := range rec.sources {
		there, err := r.sys.exists(r.at(keptName, source))
		if err != nil {
			return err
		}
		if !there {
			return Refused{{Path: real, Reason: fmt.Sprintf("what was there before package %s is not kept any more", rec.Name())}}
		}
	}
	return nil
}

// lastDone returns the last transaction that is neither an undo nor undone.
func (r *Root) lastDone() (int, error) {
	all, err := r.History()
	if err != nil {
		return 0, err
	}
	undone := make(map[int]bool)
	for i := len(all) - 1; i >= 0; i-- {
		t := all[i]
		switch {
		case undone[t.Number]: // of an undo too: what it undid is done again
		case t.Undoes != 0:
			undone[t.Undoes] = true
		default:
			return t.Number, nil
		}
	}
	return 0, errors.New("there is nothing to undo")
}

// checkRecord refuses to undo a transaction that others on the same packages, or at the
// same paths, followed.
func (p *planner) checkRecord(t *Transaction) error {
	for _, name := range slices.Sorted(maps.Keys(t.recorded)) {
		rec, err := p.own().record(name)
		if err != nil {
			return err
		}
		written := 0
		if rec != nil {
			written = rec.written
		}
		if written != t.recorded[name] {
			return Refused{{Reason: fmt.Sprintf("package %s is not as transaction %d left it", name, t.Number), Hint: undoLater}}
		}
	}
	return p.checkSince(t)
}

// wantUndone sets the goals to what was there before a transaction.
func (p *planner) wantUndone(t *Transaction) error {
	records, err := p.oldRecords(t.Number)
	if err != nil {
		return err
	}
	back := records[t.Name]
	edited := make(map[string]bool)
	for _, e := range t.Edits {
		edited[e.Path] = true
	}
	for b, a := range pairs(t.Before, t.After) {
		e := a
		if a == nil {
			e = b
		}
		if edited[e.Path] { // see wantEdits
			continue
		}
		now, err := p.look(e.Path)
		if err != nil {
			return err
		}
		if !isChanged(b, a) && now != nil && now.Mode.IsDir() && p.isLeftAlone(e.Path, back) {
			p.goals[e.Path] = goal{} // if it is empty: see wantEmptied
			continue
		}
		p.undo(b, a, now)
	}
	return nil
}

// isLeftAlone reports whether no package has a directory any more when the record back,
// or none, has taken the place of the old one: who made it, and shared it then, has gone.
func (p *planner) isLeftAlone(real string, back *Record) bool {
	others := slices.ContainsFunc(p.own().claimants(real), func(o owner) bool { return p.old == nil || o.name != p.old.Name() })
	return hasDir(real)(p.old) && !hasDir(real)(back) && !others && p.old.Displaced.Find(real) == nil
}

// undo decides about one path: b was there before the transaction, a after it.
func (p *planner) undo(b, a, now *plist.Entry) {
	changed := isChanged(b, a)
	switch {
	case changed && a != nil && a.Mode.IsDir() && now != nil && now.Mode.IsDir() && slices.ContainsFunc(p.since, hasDir(a.Path)):
		p.leave(now) // others share it since
	case !changed && now != nil:
		p.leave(now)
		if linkable(b) {
			p.goals[b.Path] = goal{entry: now, file: "before " + bodyOf(b)}
		}
	case !changed:
	case a == nil && now == nil:
		p.restore(b.Path, b)
	case a == nil && now.Mode.IsDir() && b.Mode.IsDir():
		p.leave(now) // somebody has made it again
	case a == nil:
		p.undoOther(b.Path, b, now, "was made after the transaction that deleted it")
	case now == nil && b == nil:
	case now == nil || firstDifference([]plist.Entry{*a}, []plist.Entry{*now}, andHash) != "":
		p.undoOther(a.Path, b, now, "was modified since the transaction")
	default:
		p.restore(a.Path, b)
	}
}

// hasDir returns what reports whether a package, if there is a record of it, has a directory.
func hasDir(real string) func(*Record) bool {
	return func(rec *Record) bool {
		if rec == nil {
			return false
		}
		e := rec.Installed.Find(real)
		return e != nil && claimOf(e) == aDir
	}
}

// isChanged reports whether a transaction changed what is at a path.
func isChanged(b, a *plist.Entry) bool {
	return b == nil || a == nil || capture.Difference(b, a) != 0 || b.Link != a.Link
}

// undoOther decides about a path where the root is not as the transaction left it.
func (p *planner) undoOther(real string, b, now *plist.Entry, what string) {
	switch {
	case p.policy.Save:
		p.note(real, "%s; that is kept", what)
		p.restore(real, b)
	case p.policy.KeepMine && now != nil:
		p.note(real, "%s, and is left", what)
		p.leave(now)
	case p.policy.KeepMine:
		p.note(real, "was deleted, and stays so")
	default:
		p.refuse(real, "--save keeps yours aside, --keep-mine leaves it", "%s", what)
	}
}
