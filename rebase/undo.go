package rebase

import (
	"context"
	"errors"
)

// Undo gives moved images their original bytes back and takes them out of the
// database. An image that was never moved is kept, with its record. The error is
// as for Apply.
//
// Preconditions: the caller holds the lock of the database.
func Undo(ctx context.Context, root *Root, files []File, db *Database) ([]Placement, error) {
	placements := make([]Placement, len(files))
	var jobs []*job
	for i, f := range files {
		s := &subject{File: f, record: db.Find(f.Name)}
		placements[i] = Placement{File: f, Action: Keep, subject: s}
		jobs = append(jobs, &job{root: root.Root, placement: &placements[i]})
	}
	if err := each(ctx, jobs, (*job).stageUndo); err != nil {
		return nil, errors.Join(err, discardAll(jobs))
	}
	commitAll(root.Root, jobs)
	for _, j := range jobs {
		pl := j.placement
		if j.err != nil {
			pl.Action, pl.Reason = Fail, j.err.Error()
		} else if pl.Action == Move {
			db.Remove(pl.Name)
		}
	}
	return placements, db.Save()
}

// stageUndo stages the original of one image. One that is there already, after
// a run that was interrupted, only has to leave the database.
func (j *job) stageUndo() { j.err = j.prepareUndo() }

func (j *job) prepareUndo() error {
	pl, s := j.placement, j.placement.subject
	switch {
	case s.record == nil:
		return errors.New("not recorded")
	case s.record.File == nil:
		return errors.New("an rBiI database does not hold what undo needs")
	case s.record.Was == nil:
		pl.Reason = "was never moved"
		return nil
	}
	if s.read(j.root, true); s.err != nil {
		return s.err
	}
	was := s.record.Was
	pl.Action, pl.Machine, pl.Size = Move, s.record.Machine, s.record.Size
	pl.From, pl.To = s.image.Base, was.Base
	moved, err := readFile(j.root, pl.Path)
	if err != nil {
		return err
	}
	if digest(moved) == was.Digest {
		return nil
	}
	file, err := Restore(moved, was.Original)
	if err != nil || digest(file) != was.Digest {
		return errors.Join(errors.New("the file is not the one that was recorded: undone, it would not be the original"), err)
	}
	j.next = &replacement{root: j.root, name: pl.Path, old: s.info}
	return j.next.stage(file)
}
