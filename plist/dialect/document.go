package dialect

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Document is a packing list as a text, line by line. Parse and WriteTo give
// back the same bytes, whatever they are.
type Document struct {
	Format string
	Lines  []Line
}

// A Line is one logical line, cut into pieces. Written one after another, with
// each condition between its dialect's brackets, they are the line again.
type Line struct {
	Lead  string   // blanks that mean nothing
	When  []string // names of conditions that must all hold
	Word  string   // a command with its "@"; in mtree(5) the path; "" before a path
	Attrs string   // FreeBSD's "(owner,group,mode)"
	Gap   string   // blanks between Word and Arg
	Arg   string   // a path, a text, a shell command
	End   string   // blanks that mean nothing, and the newline if there is one
}

// Parse cuts a text of the named format into lines. It takes any text: what a
// line means, and whether it means anything, is for Items and Check to say.
func Parse(format, text string) (*Document, error) {
	d, err := find(format)
	if err != nil {
		return nil, err
	}
	doc := &Document{Format: format, Lines: make([]Line, 0, strings.Count(text, "\n")+1)}
	for text != "" {
		n := d.lineLength(text)
		doc.Lines = append(doc.Lines, Line{})
		d.split(text[:n], &doc.Lines[len(doc.Lines)-1])
		text = text[n:]
	}
	return doc, nil
}

// lineLength returns the length of the first line of text with its newline.
func (d *dialect) lineLength(text string) int {
	n := 0
	for {
		i := strings.IndexByte(text[n:], '\n')
		if i < 0 {
			return len(text)
		}
		n += i + 1
		if !d.continued || !goesOn(text[:n-1]) {
			return n
		}
	}
}

// WriteTo writes the lines.
func (doc *Document) WriteTo(w io.Writer) (int64, error) {
	d, err := find(doc.Format)
	if err != nil {
		return 0, err
	}
	size := 0
	for i := range doc.Lines {
		l := &doc.Lines[i]
		size += len(l.Lead) + len(l.Word) + len(l.Attrs) + len(l.Gap) + len(l.Arg) + len(l.End)
	}
	b := make([]byte, 0, size+size/8) // conditions are the rest
	for i := range doc.Lines {
		b = d.appendLine(b, &doc.Lines[i])
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (d *dialect) appendLine(b []byte, l *Line) []byte {
	b = append(b, l.Lead...)
	for _, name := range l.When {
		b = append(b, d.condition[0]...)
		b = append(b, name...)
		b = append(b, d.condition[1]...)
	}
	b = append(b, l.Word...)
	b = append(b, l.Attrs...)
	b = append(b, l.Gap...)
	b = append(b, l.Arg...)
	return append(b, l.End...)
}

// holds reports whether s stands in what the line says.
func (l *Line) holds(s string) bool {
	return strings.Contains(l.Arg, s) || strings.Contains(l.Word, s) || strings.Contains(l.Attrs, s) ||
		slices.ContainsFunc(l.When, func(name string) bool { return strings.Contains(name, s) })
}

// cutEnd splits off the newline and the blanks before it that mean nothing.
func cutEnd(line, blanks string) (rest, end string) {
	rest = strings.TrimRight(strings.TrimSuffix(line, "\n"), blanks)
	return rest, line[len(rest):]
}

// cutWord splits s behind n bytes of a word: word, blanks, argument.
func cutWord(s string, n int, blanks string, l *Line) {
	l.Word = s[:n]
	l.Arg = strings.TrimLeft(s[n:], blanks)
	l.Gap = s[n : len(s)-len(l.Arg)]
}

// Convert rewrites a list of one format in another. A list in the same format is
// given back as it is; what only the other dialect has is an [Unexpressible].
func Convert(w io.Writer, from, to, text string) error {
	doc, err := Parse(from, text)
	if err != nil {
		return err
	}
	d, err := find(to)
	if err != nil {
		return err
	}
	if from == to {
		_, err = doc.WriteTo(w)
		return err
	}
	source, err := find(from)
	if err != nil {
		return err
	}
	if source.readList != nil {
		return d.convertList(w, source, text)
	}
	items, err := doc.Items()
	if err != nil {
		return err
	}
	if len(items) == 0 || items[0].Kind != KindID {
		items = slices.Insert(items, 0, Item{Kind: KindID})
	}
	return d.write(w, items)
}

// convertList converts from a form that tells all of a file.
func (d *dialect) convertList(w io.Writer, from *dialect, text string) error {
	l, err := from.readList(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", from.name, err)
	}
	for i := range l.Entries {
		if e := &l.Entries[i]; d.name == Native && e.HasContent() { // from mtree(5)
			return &Unexpressible{Format: Native, Entry: e.Path, Reason: "its BLAKE3 digest is not known"}
		}
	}
	return Write(w, d.name, l)
}
