package unpack

import (
	"strings"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// open opens the content of a goal.
func (p *planner) open(e *plist.Entry) (plist.File, error) {
	switch p.goals[e.Path].from {
	case fromPackage:
		return p.pkg.Tree.Open(p.named[e.Path])
	case fromStore:
		return p.openKept(p.sources[e.Path])
	case fromText:
		return textFile{strings.NewReader(p.texts[e.Path])}, nil
	}
	return p.sys.openFile(e.Path)
}

func (r *Root) openKept(source string) (plist.File, error) {
	f, err := r.sys.openFile(r.at(keptName, source))
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// A textFile is content that was made here.
type textFile struct{ *strings.Reader }

func (textFile) Close() error { return nil }

// wantText makes a text the content of the file that is at a path.
func (p *planner) wantText(now *plist.Entry, text string) error {
	e := *now
	var err error
	e.Digest, err = capture.Digest(strings.NewReader(text))
	e.Size, e.ModTime, e.Link = int64(len(text)), p.now(), ""
	if base := p.bases.Find(e.Path); base != nil && !contentDiffers(base, &e) {
		e.ModTime = base.ModTime // it is what it was
	}
	p.goals[e.Path], p.texts[e.Path] = goal{entry: &e, from: fromText}, text
	return err
}

// readText returns the content of a small file of the root.
func (p *planner) readText(real string) (string, error) {
	text, err := p.readFile(real)
	return string(text), err
}
