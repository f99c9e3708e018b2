package unpack

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/internal/infodir"
)

// An Edit is one line of a shared file that comes or goes. Lines are compared as a
// whole, and a file has none twice for us: so an edit can be made, and unmade, in
// a file that others edit too.
type Edit struct {
	Path string // real path of the file
	Line string // without its end; may be several
	Gone bool   // it is taken out; else it is added

	kind    editKind
	section string // of an Info directory
	after   string // the line that it stands behind there, if that is there
}

// An editKind is where a line stands in its file.
type editKind uint8

const (
	anywhere  editKind = iota // at the end, if it is new
	infoEntry                 // in the menu of an Info directory
	beginning                 // it is all that a file begins with, which the transaction makes
)

// inverse returns what takes edits back, the last one first.
func inverse(edits []Edit) []Edit {
	back := slices.Clone(edits)
	slices.Reverse(back)
	for i := range back {
		back[i].Gone = !back[i].Gone
	}
	return back
}

// same is an edit without what only says where its line goes.
func (e Edit) same() Edit {
	e.after = ""
	return e
}

// edit makes one edit of a text. It reports whether that changed anything.
func (e *Edit) edit(text string) (string, bool) {
	entry := infodir.Entry{Section: e.section, Text: e.Line, After: e.after}
	switch {
	case e.kind == infoEntry && e.Gone:
		return infodir.Remove(text, entry)
	case e.kind == infoEntry:
		return infodir.Insert(text, entry)
	case e.kind == beginning && e.Gone && strings.TrimRight(text, "\n") == strings.TrimRight(e.Line, "\n"):
		return "", true
	case e.kind == beginning && !e.Gone && text == "":
		return e.Line, true
	case e.kind == beginning: // others have lines there too
		return text, false
	}
	lines := strings.SplitAfter(text, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSuffix(l, "\n") == e.Line })
	switch {
	case e.Gone != (at >= 0):
		return text, false
	case e.Gone:
		return strings.Join(slices.Delete(lines, at, at+1), ""), true
	case text != "" && !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	return text + e.Line + "\n", true
}

func marshalEdits(edits []Edit) []byte {
	var b quotedLines
	for _, e := range edits {
		word := "add"
		if e.Gone {
			word = "remove"
		}
		b.add(word, e.Path, e.Line, strconv.Itoa(int(e.kind)), e.section, e.after)
	}
	return b
}

func unmarshalEdits(text []byte) (edits []Edit, err error) {
	err = readQuoted(text, 6, func(words []string) error {
		kind, err := strconv.ParseUint(words[3], 10, 8)
		edits = append(edits, Edit{words[1], words[2], words[0] == "remove", editKind(kind), words[4], words[5]})
		return err
	})
	return edits, err
}
