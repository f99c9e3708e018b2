package rebase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Captured is a packing list whose images have got addresses of their own,
// before anything of it goes live.
type Captured struct {
	// List is the list given, with size and digest of the moved images as they
	// are now and what they were before declared in Rebased.
	List *plist.List
	// Tree holds the content that fits List.
	Tree       plist.Tree
	Placements []Placement

	database *Database
	records  map[string]Record // by entry path
}

// MoveCaptured plans for the images among the packed entries of a list, which
// are told by suffix and content, and moves them. They are recorded as what they
// will be when the list is installed at the root, see Policy.Mounts. Nothing is
// written until Save; moved content is made when Tree is asked for it.
//
// Preconditions: tree can be opened more than once a path. The caller holds the
// lock of the policy's database until after Save.
func MoveCaptured(ctx context.Context, list *plist.List, tree plist.Tree, policy *Policy) (*Captured, error) {
	out := *list
	out.Entries = append([]plist.Entry{}, list.Entries...)
	moves := &movedTree{Tree: tree, changes: make(map[string]change)}
	c := &Captured{List: &out, Tree: moves, database: policy.Database, records: make(map[string]Record)}
	subjects, err := capturedSubjects(ctx, list, tree, policy)
	if err != nil {
		return nil, err
	}
	plan := newPlan(subjects, policy, nil)
	for i := range plan.Placements {
		p := &plan.Placements[i]
		if p.Action == Skip || p.Action == Fail || p.Reserved == 0 {
			continue
		}
		if err := c.take(p, moves, policy); err != nil {
			return nil, fmt.Errorf("rebase %s: %w", p.Name, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	c.Placements = plan.Placements
	c.declare()
	return c, nil
}

// Save records the images in the database: reserves their addresses if that is
// before the list is installed. Should it not be installed then, see
// Database.Revert.
func (c *Captured) Save() error {
	for _, r := range c.records {
		c.database.Put(r)
	}
	return c.database.Save()
}

// Candidate reports whether MoveCaptured looks at an entry's content.
func Candidate(e *plist.Entry) bool {
	return e.Packed() && e.HasContent() && wanted(e.Path, false)
}

// capturedSubjects reads the images among a list's packed entries.
func capturedSubjects(ctx context.Context, list *plist.List, tree plist.Tree, policy *Policy) ([]*subject, error) {
	place := Root{Mounts: policy.Mounts}
	var subjects []*subject
	for i := range list.Entries {
		e := &list.Entries[i]
		if !Candidate(e) {
			continue
		}
		content, err := readTree(tree, e.Path)
		if err != nil {
			return nil, err
		}
		f := place.FileAt(e.Path)
		s := &subject{File: f, record: policy.Database.Find(f.Name)}
		s.readFrom(bytes.NewReader(content), int64(len(content)), true)
		subjects = append(subjects, s)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return subjects, nil
}

func readTree(tree plist.Tree, path string) ([]byte, error) {
	f, err := tree.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	return content, errors.Join(err, f.Close())
}

// take carries out one placement: it makes the record and, for a move, what the
// tree will need.
func (c *Captured) take(p *Placement, moves *movedTree, policy *Policy) error {
	content, err := readTree(moves.Tree, p.Path)
	if err != nil {
		return err
	}
	h, err := ReadHeader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	record := p.record(h, content)
	if p.Action == Move {
		change := p.change(policy)
		moved, lost, err := change.move(content, h)
		if err != nil {
			return err
		}
		past := record.past(lost)
		if err := past.check(moved); err != nil {
			return err
		}
		if err := record.setMoved(moved, past); err != nil {
			return err
		}
		moves.changes[p.Path] = change
	}
	c.records[p.Path] = record
	return nil
}

// declare changes the entries of the moved images, and of their hard links.
func (c *Captured) declare() {
	from := make(map[string]uint64)
	for i := range c.Placements {
		if p := &c.Placements[i]; p.Action == Move {
			from[p.Path] = p.From
		}
	}
	for i := range c.List.Entries {
		e := &c.List.Entries[i]
		path := e.Path
		if e.IsHardlink() {
			path = e.Link
		}
		base, ok := from[path]
		if !ok {
			continue
		}
		now := c.records[path]
		was := plist.Rebased{From: base, To: now.Base, Digest: e.Digest}
		if e.Rebased != nil { // moved once before
			was.From, was.Digest = e.Rebased.From, e.Rebased.Digest
		}
		e.Size, e.Digest, e.Rebased = now.File.Length, now.File.Digest, &was
	}
}

// A movedTree is a tree in which some images lie at other addresses.
type movedTree struct {
	plist.Tree
	changes map[string]change
}

// Open opens the content of a path, moved if it has to be.
func (t *movedTree) Open(path string) (plist.File, error) {
	change, ok := t.changes[path]
	if !ok {
		return t.Tree.Open(path)
	}
	content, err := readTree(t.Tree, path)
	if err != nil {
		return nil, err
	}
	h, err := ReadHeader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	moved, _, err := change.move(content, h)
	if err != nil {
		return nil, fmt.Errorf("rebase %s: %w", path, err)
	}
	return io.NopCloser(bytes.NewReader(moved)), nil
}
