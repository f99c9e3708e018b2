package rebase

import (
	"context"
	"errors"
)

// Undo gives moved images their original bytes back and takes them out of the
// database. An image that was never moved is kept, with its record. Names that
// are hard links to one file, if all are given, stay so. The error is as for
// Apply.
//
// Preconditions: the caller holds the lock of the database.
func Undo(ctx context.Context, root *Root, files []File, db *Database) ([]Placement, error) {
	var subjects []*subject
	for _, f := range files {
		subjects = append(subjects, &subject{File: f, record: db.Find(f.Name)})
	}
	if err := each(ctx, subjects, func(s *subject) { s.read(root.Root, true) }); err != nil {
		return nil, err
	}
	subjects = joinLinks(subjects)
	placements := make([]Placement, len(subjects))
	jobs := make([]*job, len(subjects))
	for i, s := range subjects {
		placements[i] = Placement{File: s.File, Action: Keep, subject: s}
		jobs[i] = &job{root: root.Root, placement: &placements[i]}
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
	case s.err != nil:
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
