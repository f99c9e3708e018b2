package rebase

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// A Problem is a word for what Check found.
type Problem string

// The problems.
const (
	Missing  Problem = "missing"  // the file is not there
	Pending  Problem = "pending"  // recorded as moved, but still as it was: apply again
	Modified Problem = "modified" // neither the recorded file nor its original
	Collides Problem = "collides" // overlaps the range of another record
	Broken   Problem = "broken"   // would not undo to the original
)

// A Finding is one thing that is wrong with a record.
type Finding struct {
	Name    string
	Problem Problem
	Reason  string
	With    []string // the other records, for Collides
}

// Check holds the records of db against the files below root, and against each
// other and those of other layers: it tells a file that was rebased from one
// that was modified, and finds what another layer did since. The findings are in
// the order of the names.
func Check(ctx context.Context, root *Root, db *Database, respect []*Database) ([]Finding, error) {
	checks := make([]recordCheck, len(db.records))
	todo := make([]*recordCheck, len(db.records))
	for i := range db.records {
		checks[i].record, todo[i] = &db.records[i], &checks[i]
	}
	if err := each(ctx, todo, func(c *recordCheck) { c.run(root) }); err != nil {
		return nil, err
	}
	findings := Collisions(db, respect)
	for _, c := range checks {
		if c.finding.Problem != "" {
			c.finding.Name = c.record.Name
			findings = append(findings, c.finding)
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(a.Name, b.Name) })
	return findings, nil
}

type recordCheck struct {
	record  *Record
	finding Finding
}

// run compares one record with its file.
func (c *recordCheck) run(root *Root) {
	problem, err := c.record.compare(root)
	if err != nil {
		c.finding = Finding{Problem: problem, Reason: err.Error()}
	}
}

func (r *Record) compare(root *Root) (Problem, error) {
	f, err := root.FileOf(r.Name)
	if err != nil {
		return Missing, err
	}
	content, err := readFile(root.Root, f.Path)
	if err != nil {
		return Missing, err
	}
	h, err := ReadHeader(bytes.NewReader(content), int64(len(content)))
	sum := digest(content)
	switch {
	case err != nil:
		return Modified, err
	case r.Was != nil && sum == r.Was.Digest && r.Was.Digest != r.File.Digest:
		return Pending, fmt.Errorf("at %#x, still to be moved to %#x", h.Base, r.Base)
	case h.Machine != r.Machine || h.Base != r.Base || h.Size != r.Size:
		return Modified, fmt.Errorf("%v image of %#x bytes at %#x, recorded is %v, %#x at %#x", h.Machine, h.Size, h.Base, r.Machine, r.Size, r.Base)
	case r.File != nil && sum != r.File.Digest:
		return Modified, errors.New("the content is not the one that was recorded")
	case r.Was != nil:
		return Broken, r.Was.check(content)
	}
	return "", nil
}

// Collisions finds the records of db that overlap others, by what the images
// take, without slack.
func Collisions(db *Database, respect []*Database) []Finding {
	type holder struct {
		*Record
		layer int
	}
	var all []holder
	for layer, d := range append([]*Database{db}, respect...) {
		for i := range d.records {
			all = append(all, holder{&d.records[i], layer})
		}
	}
	slices.SortStableFunc(all, func(a, b holder) int { return cmp.Compare(a.exact().Low, b.exact().Low) })
	with := make(map[*Record][]string)
	for i, a := range all {
		for _, b := range all[i+1:] {
			if b.exact().Low >= a.exact().High {
				break
			}
			if a.Machine == b.Machine {
				with[a.Record] = append(with[a.Record], b.Name)
				with[b.Record] = append(with[b.Record], a.Name)
			}
		}
	}
	var findings []Finding
	for i := range db.records {
		r := &db.records[i]
		if names := with[r]; names != nil {
			slices.Sort(names)
			findings = append(findings, Finding{r.Name, Collides, "overlaps others at " + r.exact().String(), names})
		}
	}
	return findings
}
