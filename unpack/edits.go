package unpack

import (
	"slices"
	"strings"
)

// An Edit is one line of a shared file that comes or goes. Lines are compared as a
// whole, and a file has none twice for us: so an edit can be made, and unmade, in
// a file that others edit too.
type Edit struct {
	Path string // real path of the file
	Line string // without its end
	Gone bool   // it is taken out; else it is added
}

// inverse returns what takes edits back.
func inverse(edits []Edit) []Edit {
	back := slices.Clone(edits)
	for i := range back {
		back[i].Gone = !back[i].Gone
	}
	return back
}

// edit makes one edit of a text. It reports whether that changed anything.
func (e *Edit) edit(text string) (string, bool) {
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
		b.add(word, e.Path, e.Line)
	}
	return b
}

func unmarshalEdits(text []byte) (edits []Edit, err error) {
	err = readQuoted(text, 3, func(words []string) error {
		edits = append(edits, Edit{words[1], words[2], words[0] == "remove"})
		return nil
	})
	return edits, err
}
