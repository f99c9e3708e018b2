package rebase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/zeebo/blake3"
)

// Apply carries the plan out: the moved images are written beside the old ones
// and verified, then the database is saved, then the new files get their names.
// After a crash before the database is saved nothing has happened; after one
// later, applying again finishes the job.
//
// What goes wrong with one file becomes its Action Fail, and the others go on.
// An error means that the database could not be saved and no file was replaced,
// or that ctx was cancelled.
//
// Preconditions: the caller has held the lock of the database since before the
// plan was made.
func (p *Plan) Apply(ctx context.Context) error {
	jobs := p.jobs()
	step := p.policy.counter()
	if err := each(ctx, jobs, func(j *job) { j.stage(); step() }); err != nil {
		return errors.Join(err, discardAll(jobs))
	}
	for _, j := range jobs {
		if j.err == nil {
			p.policy.Database.Put(j.record)
		}
	}
	if err := p.policy.Database.Save(); err != nil {
		return errors.Join(err, discardAll(jobs))
	}
	commitAll(p.root, jobs)
	for _, j := range jobs {
		if j.err != nil {
			j.placement.Action, j.placement.Reason = Fail, j.err.Error()
		}
	}
	return nil
}

// counter returns what to call after each image.
func (p *Policy) counter() func() {
	if p.Progress == nil {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		p.Progress(done)
	}
}

// A job is what applying does for one placement.
type job struct {
	root      *os.Root
	placement *Placement
	policy    *Policy
	record    Record
	next      *replacement // nil if the file stays
	err       error
}

// jobs lists what has to be read, written or recorded anew.
func (p *Plan) jobs() []*job {
	var jobs []*job
	for i := range p.Placements {
		pl := &p.Placements[i]
		recorded := pl.Action == Keep || pl.Action == Move || pl.Action == Left && pl.Reserved > 0
		s := pl.subject
		if !recorded || s.known && pl.Action != Move && s.record.Reserved == pl.Reserved {
			continue
		}
		jobs = append(jobs, &job{root: p.root, placement: pl, policy: p.policy})
	}
	return jobs
}

func discardAll(jobs []*job) error {
	var errs []error
	for _, j := range jobs {
		if j.next != nil {
			errs = append(errs, j.next.discard())
		}
	}
	return errors.Join(errs...)
}

// stage makes the job's record and, for a move, its new file.
func (j *job) stage() { j.err = j.prepare() }

func (j *job) prepare() error {
	pl := j.placement
	file, err := readFile(j.root, pl.Path)
	if err != nil {
		return err
	}
	h, err := ReadHeader(bytes.NewReader(file), int64(len(file)))
	if err != nil || !h.same(&pl.subject.image.Header) {
		return errChanged
	}
	if j.record = pl.record(h, file); pl.Action != Move {
		return nil
	}
	moved, lost, err := pl.change(j.policy).move(file, h)
	if err != nil {
		return err
	}
	past := j.record.past(lost)
	if err := j.write(moved, past); err != nil {
		return err
	}
	return j.record.setMoved(moved, past)
}

// record returns what to record of a file that stays as it is. Its past is known
// if it is the recorded file, or would become the same original: then a change
// of it was recorded, but did not come to its end.
func (p *Placement) record(h *Header, file []byte) Record {
	r := Record{
		Name: p.Name, Machine: p.Machine, Base: p.To, Size: p.Size, Reserved: p.Reserved,
		File: identity(h, file),
	}
	if old := p.subject.record; old != nil && old.Was != nil && old.Was.Digest != r.File.Digest &&
		(old.File.Digest == r.File.Digest || old.Was.check(file) == nil) {
		r.Was = old.Was
	}
	return r
}

// setMoved completes the record of a changed image.
func (r *Record) setMoved(moved []byte, past *Past) error {
	h, err := ReadHeader(bytes.NewReader(moved), int64(len(moved)))
	if err == nil {
		r.File, r.Was = identity(h, moved), past
	}
	return err
}

var errChanged = errors.New("the file has changed since the plan was made")

// same reports whether two headers are most likely of the same file.
func (h *Header) same(o *Header) bool {
	return h.Base == o.Base && h.Size == o.Size && h.Length == o.Length && h.Stamp == o.Stamp && h.CheckSum == o.CheckSum
}

// past returns what is known of the image before its first change: what it lost
// now, if the record does not know of an earlier one.
func (r *Record) past(lost Original) *Past {
	if r.Was == nil {
		return &Past{lost, r.File.Digest}
	}
	past := *r.Was
	past.Cleared |= lost.Cleared
	return &past
}

// A change is what is done to the bytes of one image.
type change struct {
	to    uint64
	drop  bool // the signature, if there is one
	clear bool // the flags that ask for a base at random
}

func (p *Placement) change(policy *Policy) change {
	return change{p.To, policy.DropSignature, policy.ClearDynamic}
}

// move returns the changed bytes, verified, and what the image lost.
func (c change) move(file []byte, h *Header) (moved []byte, lost Original, err error) {
	lost = Original{Base: h.Base, CheckSum: h.CheckSum}
	if h.Signed() && c.drop {
		if file, lost.Signature, err = h.Unsign(file); err != nil {
			return nil, lost, err
		}
	}
	if c.clear {
		lost.Cleared = h.asks()
		file = bytes.Clone(file)
		h.setDLLFlags(file, h.dllFlags&^lost.Cleared)
	}
	m, err := Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, lost, err
	}
	if moved, err = m.Move(file, c.to); err != nil {
		return nil, lost, err
	}
	return moved, lost, Verify(file, moved)
}

// write stages the new file and verifies what is read back: undone in memory, it
// has to be the original.
func (j *job) write(moved []byte, past *Past) error {
	pl := j.placement
	j.next = &replacement{root: j.root, name: pl.Path, old: pl.subject.info}
	if err := j.next.stage(moved); err != nil {
		return err
	}
	again, err := readFile(j.root, j.next.staged())
	if err == nil && !bytes.Equal(again, moved) {
		err = errors.New("what was written is not what is read back")
	}
	if err == nil {
		err = past.check(again)
	}
	if err != nil {
		return errors.Join(err, j.next.discard())
	}
	return nil
}

// check reports how a moved image would not become the original again.
func (p *Past) check(moved []byte) error {
	file, err := Restore(moved, p.Original)
	if err != nil {
		return err
	}
	if digest(file) != p.Digest {
		return errors.New("undone, it would not be the original")
	}
	return nil
}

// commitAll gives the staged files their names.
func commitAll(root *os.Root, jobs []*job) {
	dirs := make(map[string][]*job)
	for _, j := range jobs {
		if j.err != nil || j.next == nil {
			continue
		}
		if j.err = j.commit(); j.err != nil {
			j.err = errors.Join(j.err, j.next.discard())
			continue
		}
		for _, f := range append([]File{j.placement.File}, j.placement.subject.links...) {
			dirs[path.Dir(f.Path)] = append(dirs[path.Dir(f.Path)], j)
		}
	}
	for dir, jobs := range dirs {
		if err := syncDir(root, dir); err != nil {
			for _, j := range jobs {
				j.err = err
			}
		}
	}
}

// commit renames the new file, and gives it the further names of the old one.
// It refuses if there is another file than the plan was made for.
func (j *job) commit() error {
	old := j.placement.subject.info
	now, err := j.root.Lstat(j.placement.Path)
	if err != nil {
		return err
	}
	if !os.SameFile(old, now) || !old.ModTime().Equal(now.ModTime()) || old.Size() != now.Size() {
		return errChanged
	}
	if err := j.next.commit(); err != nil {
		return err
	}
	for _, link := range j.placement.subject.links {
		r := replacement{root: j.root, name: link.Path}
		if err := r.discard(); err != nil {
			return err
		}
		if err := j.root.Link(j.placement.Path, r.staged()); err != nil {
			return err
		}
		if err := r.commit(); err != nil {
			return errors.Join(err, r.discard())
		}
	}
	return nil
}

// readFile reads a whole file, bounded by what an image can be.
func readFile(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > 1<<31 {
		return nil, fmt.Errorf("%s: larger than 2 GiB", name)
	}
	b := make([]byte, info.Size())
	_, err = io.ReadFull(f, b)
	return b, err
}

func identity(h *Header, file []byte) *Identity {
	return &Identity{Length: h.Length, Stamp: h.Stamp, CheckSum: h.CheckSum, Digest: digest(file)}
}

func digest(file []byte) plist.Digest { return blake3.Sum256(file) }
