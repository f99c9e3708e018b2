package rebase

import (
	"context"
	"errors"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Follow makes the records follow what something else has done to files, be it
// the removal of a package or the return of what was there before it: what is
// gone loses its record, and an image that is not the recorded one is recorded
// where it is, even if it collides there. The findings are those collisions.
//
// Preconditions: the caller holds the lock of the database.
func Follow(ctx context.Context, root *Root, files []File, db *Database, respect []*Database) ([]Finding, error) {
	plan, err := NewPlan(ctx, root, files, &Policy{Database: db, Respect: respect, Stay: true, Force: true})
	if err != nil {
		return nil, err
	}
	named := make(map[string]bool)
	for _, p := range plan.Placements {
		named[p.Name] = true
		if p.Reserved > 0 {
			continue
		}
		if p.Action == Fail && isUnreadable(p.subject.err) {
			return nil, p.subject.err
		}
		db.Remove(p.Name) // gone, no image any more, or one that needs no place
	}
	if err := plan.Apply(ctx); err != nil {
		return nil, err
	}
	var findings []Finding
	for _, f := range Collisions(db, respect) {
		if named[f.Name] {
			findings = append(findings, f)
		}
	}
	return findings, nil
}

// isUnreadable tells an error of the disk from a file that is not there, or is no
// image.
func isUnreadable(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && !isMissing(err)
}

// Touched returns the files of some lists that Follow is to look at: those that
// are recorded, and those that may be images.
func Touched(root *Root, db *Database, lists ...*plist.List) []File {
	var files []File
	for _, list := range lists {
		for i := range list.Entries {
			e := &list.Entries[i]
			f := root.FileAt(e.Path)
			if db.Find(f.Name) != nil || wanted(e.Path, false) {
				files = append(files, f)
			}
		}
	}
	return files
}
