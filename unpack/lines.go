package unpack

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/sandbox-install/sandbox-install/internal/infodir"
	"github.com/sandbox-install/sandbox-install/plist"
)

// sharedLines are the lines that a package wants to have in shared files.
type sharedLines struct {
	*planner
	dirs *dirs
	had  map[Edit]bool // of the old version, what is not wanted again yet
}

// wantLines sets the edits of files that many packages share: accounts, login shells,
// Info directories.
func (p *planner) wantLines() error {
	s := &sharedLines{p, newDirs(p.Root, p.pkg.List), make(map[Edit]bool)}
	if p.old != nil {
		for _, e := range p.old.Edits {
			s.had[e.same()] = true
		}
	}
	for _, a := range p.pkg.List.Accounts {
		want := p.wantAccount
		if a.Kind == plist.AccountShell {
			want = p.wantShell
		}
		if err := want(a, s); err != nil {
			return err
		}
	}
	for _, e := range p.pkg.List.Info {
		if err := p.wantInfo(e, s); err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(p.oldEdits()) {
		if s.had[e.same()] {
			p.edits = append(p.edits, inverse([]Edit{e})...)
		}
	}
	return nil
}

func (p *planner) oldEdits() []Edit {
	if p.old == nil {
		return nil
	}
	return p.old.Edits
}

// read returns where a file of the package is here, and what is in it.
func (s *sharedLines) read(name string) (real, text string, there bool, err error) {
	if real, err = s.dirs.place(name); err != nil {
		return "", "", false, err
	}
	text, err = s.readText(real)
	if errors.Is(err, fs.ErrNotExist) {
		return real, "", false, nil
	}
	return real, text, err == nil, err
}

// want adds an edit to those of the record, and if the old version had not made it to
// those of the transaction.
func (s *sharedLines) want(e Edit) {
	if !s.had[e.same()] {
		s.edits = append(s.edits, e)
	}
	delete(s.had, e.same())
	s.ours = append(s.ours, e)
}

// wantIfNew is want of what nobody else has put there.
func (s *sharedLines) wantIfNew(e Edit, text string) {
	if _, changes := e.edit(text); changes || s.had[e.same()] {
		s.want(e)
	}
}

// wantBegun makes a file that is not there, or was not before the old version.
func (s *sharedLines) wantBegun(real, line string, there bool) {
	for e := range s.had {
		if e.Path == real && e.kind == beginning {
			s.want(e)
			return
		}
	}
	if !there && s.begun(real) == nil {
		s.want(Edit{Path: real, Line: line, kind: beginning})
	}
}

// begun returns the edit that makes a file, or nil.
func (s *sharedLines) begun(real string) *Edit {
	i := slices.IndexFunc(s.ours, func(e Edit) bool { return e.Path == real && e.kind == beginning })
	if i < 0 {
		return nil
	}
	return &s.ours[i]
}

// wantShell sets the edit for a login shell (shells(5)).
func (p *planner) wantShell(a plist.Account, s *sharedLines) error {
	const shells = "etc/shells"
	if p.pkg.List.Find(shells) != nil {
		return nil
	}
	real, text, there, err := s.read(shells)
	if err != nil {
		return err
	}
	s.wantBegun(real, "", there)
	s.wantIfNew(Edit{Path: real, Line: a.Line}, text)
	return nil
}

// wantInfo sets the edits for an entry of an Info directory, or for its beginning.
func (p *planner) wantInfo(e plist.InfoEntry, s *sharedLines) error {
	if p.pkg.List.Find(e.Dir) != nil {
		return nil
	}
	real, text, there, err := s.read(e.Dir)
	if err != nil {
		return err
	}
	if e.Preamble {
		s.wantBegun(real, e.Text, there)
		return nil
	}
	if begun := s.begun(real); begun != nil && !there {
		text = begun.Line
	} else if !there {
		p.note(real, "is not there, and has no entry for %q", e.Text)
		return nil
	}
	edit := Edit{Path: real, Line: e.Text, kind: infoEntry, section: e.Section, after: e.After}
	for old := range s.had { // what another version of the entry had displaced
		if old.Gone && old.Path == real && infodir.Leads(old.Line) == infodir.Leads(e.Text) {
			s.want(old)
		}
	}
	if other := infodir.Same(text, infodir.Entry{Section: e.Section, Text: e.Text}); other != nil {
		gone := Edit{Path: real, Line: other.Text, Gone: true, kind: infoEntry, section: other.Section, after: other.After}
		if !s.had[inverse([]Edit{gone})[0].same()] {
			s.want(gone)
		}
	}
	s.wantIfNew(edit, text)
	return nil
}

// wantEdits makes the edits of shared files goals. Edits that change nothing are
// none.
func (p *planner) wantEdits() error {
	var made []Edit
	for _, e := range p.edits {
		now, text, err := p.edited(e.Path)
		if err != nil {
			return err
		}
		begins := e.kind == beginning && !e.Gone
		switch {
		case now == nil && begins:
			now = p.newFile(e.Path)
		case now == nil || !now.Mode.IsRegular():
			p.note(e.Path, "is no file any more, and is not edited")
			continue
		}
		text, changed := e.edit(text)
		if !changed {
			if e.Gone && e.kind != beginning {
				p.note(e.Path, "has not the line %q any more, and is left as it is", e.Line)
			}
			continue
		}
		made = append(made, e)
		if e.kind == beginning && e.Gone {
			p.goals[e.Path] = goal{}
			delete(p.texts, e.Path)
			continue
		}
		if err := p.wantText(now, text); err != nil {
			return err
		}
	}
	p.edits = made
	return nil
}

// edited returns a shared file as the edits up to now leave it.
func (p *planner) edited(real string) (*plist.Entry, string, error) {
	now, err := p.look(real)
	if err != nil {
		return nil, "", err
	}
	if text, ok := p.texts[real]; ok {
		return p.goals[real].entry, text, nil
	}
	if now == nil || !now.Mode.IsRegular() {
		return now, "", nil
	}
	text, err := p.readText(real)
	return now, text, err
}

// newFile describes a shared file that is made: as it was, if it is made again.
func (p *planner) newFile(real string) *plist.Entry {
	if base := p.bases.Find(real); base != nil && base.Mode.IsRegular() {
		e := *base
		return &e
	}
	return &plist.Entry{Op: plist.OpAdd, Path: real, Mode: 0o644, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ModTime: p.now()}
}

// linesOf are the rules of shared files whose lines the list tells.
func linesOf(l *plist.List) map[string]bool {
	told := map[string]bool{"info-dir": len(l.Info) > 0}
	for _, a := range l.Accounts {
		told["shells"] = told["shells"] || a.Kind == plist.AccountShell
		told["accounts"] = told["accounts"] || a.Kind != plist.AccountShell
	}
	return told
}
