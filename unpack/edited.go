package unpack

import (
	"io/fs"
	"strings"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/diff3"
	"github.com/sandbox-install/sandbox-install/plist"
)

// isEdit reports whether a package changes the content of a file that is not its own:
// one that was there when it was captured.
func isEdit(e *plist.Entry) bool {
	return e != nil && e.Op == plist.OpModify && e.Changed&(plist.ChangedContent|plist.ChangedType) != 0
}

// A held is what a path holds, as far as plist.Was tells it.
type held struct {
	typ    fs.FileMode
	digest plist.Digest
	text   *string // nil if it is no text
	known  bool
}

// isMet reports whether it is what an installation met that edited it.
func (c *held) isMet(e *plist.Entry) bool {
	if !c.known || e.Changed&plist.ChangedType == 0 && c.typ != e.Mode.Type() {
		return false
	}
	if e.Was == nil { // the installation met something that has no digest
		return c.digest == plist.Digest{} && !c.typ.IsRegular()
	}
	return c.digest == e.Was.Digest
}

// wantEdited decides about a file that the package edits. If what is there without the
// package is what the installation met, it becomes what the installation left. Else the
// lines that the installation changed are changed here, if nobody else has changed
// them.
func (p *planner) wantEdited(e, now *plist.Entry) error {
	there, err := p.without(e.Path, now)
	if err != nil {
		return err
	}
	switch {
	case there.isMet(e):
		if p.installed(e.Path) == nil {
			p.note(e.Path, "is edited by the package; what is there is kept, and comes back with the removal")
		}
		p.want(e, fromPackage)
		return nil
	case p.policy.KeepMine:
		p.note(e.Path, "stays as it is; the package's edit is left out")
		p.leave(now)
		return nil
	case p.policy.Save || p.takes(e.Path):
		p.note(e.Path, "gives way to the package's, and is kept")
		p.want(e, fromPackage)
		return nil
	case e.Was == nil:
		p.refuse(e.Path, giveWay, "is edited by the package, which does not tell what it was then")
		return nil
	case e.Was.Old == nil || there.text == nil:
		p.refuse(e.Path, giveWay, "is edited by the package, and is not what the installation met")
		return nil
	}
	return p.mergeEdit(e, now, *there.text)
}

// without returns what a path holds but for the old version of the package.
func (p *planner) without(real string, now *plist.Entry) (held, error) {
	was, base := p.installed(real), p.bases.Find(real)
	if was != nil && base != nil && contentDiffers(now, was) {
		text, conflicts, err := p.editsBack(was, now, base)
		if err != nil || conflicts != 0 {
			return held{}, err
		}
		d, err := digestOf(text)
		return held{digest: d, text: &text, known: true}, err
	}
	if was == nil || base == nil {
		base = now
	}
	c := held{typ: base.Mode.Type(), digest: capture.Held(base), known: true}
	if !base.Mode.IsRegular() {
		return c, nil
	}
	text, err := p.readKept(real, base, now)
	c.text = asText(text)
	return c, err
}

// asText returns nil for what is no text.
func asText(text string) *string {
	if strings.ContainsRune(text, 0) {
		return nil
	}
	return &text
}

func digestOf(text string) (plist.Digest, error) { return capture.Digest(strings.NewReader(text)) }

// readKept returns the content that a path had before the package: from the store,
// or from the path itself if that is the same again.
func (p *planner) readKept(real string, base, now *plist.Entry) (string, error) {
	if !contentDiffers(now, base) {
		return p.readText(real)
	}
	return p.readText(p.at(keptName, p.sources[real]))
}

// mergeEdit makes a text that the package's changes are made in the goal, or refuses
// with the difference.
func (p *planner) mergeEdit(e, now *plist.Entry, text string) error {
	changed, err := p.readPackaged(e)
	if err != nil {
		return err
	}
	hunks := make([]diff3.Hunk, 0, len(e.Was.Old))
	for _, o := range e.Was.Old {
		hunks = append(hunks, diff3.Hunk(o))
	}
	met, ok := diff3.Apply(changed, hunks)
	if d, err := digestOf(met); err != nil || !ok || d != e.Was.Digest {
		p.refuse(e.Path, "", "the package's list tells old lines that were not there")
		return err
	}
	merged, conflicts := diff3.Merge(met, text, changed)
	if conflicts > 0 {
		p.refused = append(p.refused, Refusal{
			Path: e.Path, Reason: "is edited by the package, in lines that are others here", Hint: giveWay,
			Difference: diff3.Show(met, changed, maxShown),
		})
		return nil
	}
	p.note(e.Path, "is edited by the package, and is not what the installation met: the lines are changed that it changed")
	a := *now
	adjust(&a, e)
	return p.wantText(&a, merged)
}

// maxShown is how many lines of a difference are shown.
const maxShown = 40

// readPackaged returns a small file of the package, as its list has it.
func (p *planner) readPackaged(e *plist.Entry) (string, error) {
	f, err := p.pkg.Tree.Open(p.named[e.Path])
	if err != nil {
		return "", err
	}
	text, err := readAll(f)
	if err != nil {
		return "", err
	}
	if d, err := digestOf(text); err != nil || d != e.Digest {
		p.refuse(e.Path, "", "%v", errFalseContent)
		return "", err
	}
	return text, nil
}

// wantEditBack takes a package's changes out of a file that others have changed since.
// It reports whether it decided.
func (p *planner) wantEditBack(was, now, base *plist.Entry) (bool, error) {
	if !isEdit(p.was[was.Path]) || base == nil || !contentDiffers(now, was) || !contentDiffers(now, base) {
		return false, nil
	}
	if p.policy.Save || p.policy.KeepMine {
		return false, nil
	}
	text, conflicts, err := p.editsBack(was, now, base)
	if err != nil {
		return false, err
	}
	if conflicts != 0 {
		r := Refusal{Path: was.Path, Reason: "was edited by the package, and modified since in the same lines", Hint: "--save keeps yours aside, --keep-mine leaves it"}
		if installed, err := p.readPristine(p.old, was.Digest); err == nil && conflicts > 0 {
			kept, err := p.readKept(was.Path, base, now)
			if err != nil {
				return false, err
			}
			r.Difference = diff3.Show(installed, kept, maxShown)
		}
		p.refused = append(p.refused, r)
		return true, nil
	}
	p.note(was.Path, "was modified, and stays so; the lines are changed back that the package had changed")
	a := *now
	if now.Mode == was.Mode {
		a.Mode = base.Mode
	}
	if now.UID == was.UID && now.GID == was.GID {
		a.UID, a.GID = base.UID, base.GID
	}
	return true, p.wantText(&a, text)
}

// editsBack returns the text of a file without what the old version of the package
// changed, and how many of its places others have changed since; -1 if that can not be
// told, because it is no text or not kept.
func (p *planner) editsBack(was, now, base *plist.Entry) (string, int, error) {
	if !now.Mode.IsRegular() || !base.Mode.IsRegular() || !p.isKept(was.Digest) {
		return "", -1, nil
	}
	mine, err := p.readText(was.Path)
	if err != nil {
		return "", 0, err
	}
	installed, err := p.readPristine(p.old, was.Digest)
	if err != nil {
		return "", 0, err
	}
	there, err := p.isStored(was.Path)
	if err != nil || !there {
		return "", -1, err
	}
	kept, err := p.readKept(was.Path, base, now)
	if err != nil {
		return "", 0, err
	}
	text, conflicts := diff3.Merge(installed, mine, kept)
	return text, conflicts, nil
}
