package unpack

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// History returns the transactions that were done, the oldest first.
func (r *Root) History() ([]*Transaction, error) {
	numbers, err := r.historyNumbers()
	if err != nil {
		return nil, err
	}
	all := make([]*Transaction, 0, len(numbers))
	for _, n := range numbers {
		t, err := r.readJournal(r.at(historyName, strconv.Itoa(n)))
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (r *Root) historyNumbers() ([]int, error) {
	names, err := r.names(historyName)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// nextNumber returns the number of the transaction to come.
func (r *Root) nextNumber() (int, error) {
	numbers, err := r.historyNumbers()
	if err != nil || len(numbers) == 0 {
		return 1, err
	}
	return numbers[len(numbers)-1] + 1, nil
}

// VerifyHistory checks that each transaction of the history is the one that its
// successor was made after. It returns the number of the first that is not, or 0.
func (r *Root) VerifyHistory() (int, error) {
	all, err := r.History()
	if err != nil {
		return 0, err
	}
	var previous plist.Digest
	for i, t := range all {
		if t.Number != i+1 {
			return i + 1, nil // it is missing
		}
		if t.Previous != previous {
			return max(i, 1), nil
		}
		if previous, err = r.journalDigest(r.at(historyName, strconv.Itoa(t.Number))); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// PlanRollback returns the numbers of the transactions to undo, in this order, so
// that everything is as after transaction to; 0 is the state before all. What was
// undone already takes no part. Each undo is a transaction: a rollback that was
// interrupted is between two of them, and goes on when it is planned again.
func (r *Root) PlanRollback(to int) ([]int, error) {
	all, err := r.History()
	if err != nil {
		return nil, err
	}
	if to < 0 || to > len(all) {
		return nil, fmt.Errorf("no transaction %d in the history", to)
	}
	var standing []int
	for _, t := range all {
		switch last := len(standing) - 1; {
		case t.Number <= to:
		case last >= 0 && t.Undoes == standing[last]:
			standing = standing[:last]
		default:
			standing = append(standing, t.Number)
		}
	}
	slices.Reverse(standing)
	return standing, nil
}

// At returns the number of the last transaction at a time; 0 if there was none yet.
func (r *Root) At(when time.Time) (int, error) {
	all, err := r.History()
	last := 0
	for _, t := range all {
		if !t.Time.After(when) {
			last = t.Number
		}
	}
	return last, err
}

// A Retention says which displaced objects are kept for undoing: those of the last
// Transactions, and those that are younger than Age.
type Retention struct {
	Transactions int
	Age          time.Duration
}

// Prune removes what transactions displaced that a Retention does not ask for, and
// that no removal brings back of a package that is installed, or that undoing one of
// the others would install again. It returns the numbers of the transactions that can
// not be undone any more: theirs, and of those that replaced or removed a package whose
// removal would bring such an object back.
func (r *Root) Prune(keep Retention) (pruned []int, err error) {
	there, err := r.sys.exists(r.at(lockName))
	if err != nil || !there {
		return nil, err
	}
	lock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, err := r.recover(); err != nil {
		return nil, err
	}
	all, err := r.History()
	if err != nil {
		return nil, err
	}
	retained := func(i int) bool {
		return i >= len(all)-keep.Transactions || r.now().Sub(all[i].Time) < keep.Age
	}
	needed, err := r.neededObjects()
	if err != nil {
		return nil, err
	}
	for i, t := range all {
		if !retained(i) {
			continue
		}
		old, err := r.oldRecords(t.Number)
		if err != nil {
			return nil, err
		}
		for _, rec := range old {
			rec.needs(needed)
		}
	}
	b, err := newBarrier(r.sys, []string{r.at(keptName)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	gone := make(map[string]bool)
	for i, t := range all {
		if retained(i) {
			continue
		}
		isCutOff, err := r.isCutOff(t.Number, gone)
		if err != nil {
			return pruned, err
		}
		removed, err := r.pruneOne(t.Number, needed, gone)
		if err != nil {
			return pruned, err
		}
		if removed || isCutOff {
			pruned = append(pruned, t.Number)
		}
	}
	return pruned, b.sync()
}

// neededObjects returns the objects of the store that removals bring back.
func (r *Root) neededObjects() (map[string]bool, error) {
	all, err := r.records()
	needed := make(map[string]bool)
	for _, rec := range all {
		rec.needs(needed)
	}
	return needed, err
}

// needs adds the objects of the store that the removal of a package brings back.
func (r *Record) needs(objects map[string]bool) {
	for _, source := range r.sources {
		parts := strings.SplitN(source, "/", 3) // transaction, step, path in it
		objects[path.Join(parts[:2]...)] = true
	}
}

// isCutOff reports whether undoing a transaction would bring back the record of a
// package that can not be removed any more: what it displaced is among the objects gone.
func (r *Root) isCutOff(number int, gone map[string]bool) (bool, error) {
	old, err := r.oldRecords(number)
	wanted := make(map[string]bool)
	for _, rec := range old {
		rec.needs(wanted)
	}
	for object := range wanted {
		if gone[object] {
			return true, err
		}
	}
	return false, err
}

// pruneOne removes what one transaction displaced and nobody needs, and adds it to the
// objects gone.
func (r *Root) pruneOne(number int, needed, gone map[string]bool) (removed bool, err error) {
	dir := path.Join(keptName, strconv.Itoa(number))
	names, err := r.names(dir)
	if err != nil {
		return false, err
	}
	left := 0
	for _, name := range names {
		object := path.Join(strconv.Itoa(number), name)
		if needed[object] {
			left++
			continue
		}
		removed, gone[object] = true, true
		if err := r.sys.removeAll(r.at(dir, name)); err != nil {
			return removed, err
		}
	}
	if left > 0 {
		return removed, nil
	}
	return removed, ignoreMissing(r.sys.rmdir(r.at(dir)))
}
