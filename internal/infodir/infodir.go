// Package infodir edits the directory file of Info, "dir", as install-info(1) does:
// entries of many packages' manuals below headings, in one menu.
//
// The form is that of "The GNU Texinfo manual", Installing an Info File: after the
// line "* Menu:" a heading is a line that begins neither with "* " nor with white
// space; an entry begins with "* ", and lines that begin with white space go on with it.
package infodir

import (
	"slices"
	"strings"
)

// An Entry is one of the menu.
type Entry struct {
	Section string // the heading it is below; "" if there is none
	Text    string // its lines, without the last newline

	// After is the line before it: the heading, or of another entry.
	After string
}

const menu = "* Menu:"

// Added returns the entries that one text has and another had not, in their order.
func Added(before, after string) []Entry {
	had := make(map[[2]string]bool)
	for _, e := range parse(before) {
		had[[2]string{e.Section, e.Text}] = true
	}
	return slices.DeleteFunc(parse(after), func(e Entry) bool { return had[[2]string{e.Section, e.Text}] })
}

// Preamble returns what comes before the first section, without the blank line that
// parts them: all that is no entry of a directory that was made anew. It is "" if the
// text is no directory file.
func Preamble(text string) string {
	all := lines(text)
	from := begin(all)
	if from < 0 {
		return ""
	}
	to := from
	for to < len(all) && isBlank(all[to]) {
		to++
	}
	return strings.Join(all[:max(from, to-1)], "")
}

// Insert adds an entry: behind the line it is to follow if its section has that, else
// before the first entry that sorts behind it; below a new heading, before the first
// that sorts behind it, if the section is not there. It reports whether that changed
// anything.
func Insert(text string, e Entry) (string, bool) {
	all := lines(text)
	if begin(all) < 0 {
		return text, false
	}
	from, to := section(all, e.Section)
	if from < 0 {
		return newSection(all, e), true
	}
	at := -1
	for i := from; i < to; i = next(all, i) {
		switch end := next(all, i); {
		case entry(all[i:end]) == e.Text:
			return text, false
		case at < 0 && all[i-1] == e.After+"\n" && !goesOn(all[i]):
			at = i
		}
	}
	if at < 0 && to > 0 && all[to-1] == e.After+"\n" {
		at = to
	}
	for i := from; at < 0 && i < to; i = next(all, i) {
		if strings.HasPrefix(all[i], "* ") && all[i] > e.Text {
			at = i
		}
	}
	if at < 0 {
		at = to
	}
	return strings.Join(slices.Insert(all, at, e.Text+"\n"), ""), true
}

func newSection(all []string, e Entry) string {
	section := []string{"\n", e.Section + "\n", e.Text + "\n"}
	for i := begin(all); i < len(all); i++ {
		if isHeading(all[i]) && all[i] > e.Section+"\n" {
			if isBlank(all[i-1]) {
				i--
			}
			return strings.Join(slices.Insert(all, i, section...), "")
		}
	}
	return strings.Join(append(all, section...), "")
}

// Remove takes an entry away, and its heading if that has no other. It reports
// whether the entry was there.
func Remove(text string, e Entry) (string, bool) {
	all := lines(text)
	from, to := section(all, e.Section)
	if from < 0 {
		return text, false
	}
	for i := from; i < to; i = next(all, i) {
		end := next(all, i)
		if entry(all[i:end]) != e.Text {
			continue
		}
		all, to = slices.Delete(all, i, end), to-(end-i)
		if e.Section != "" && !slices.ContainsFunc(all[from:to], func(l string) bool { return !isBlank(l) }) {
			from-- // the heading
			if from > 0 && isBlank(all[from-1]) && begin(all) <= from-1 {
				from-- // and the line that parts it from the one before
			}
			all = slices.Delete(all, from, to)
		}
		return strings.Join(all, ""), true
	}
	return text, false
}

// Same returns the other entry of a section that leads where one leads, or nil.
func Same(text string, e Entry) *Entry {
	for _, other := range parse(text) {
		if Leads(other.Text) == Leads(e.Text) && other.Section == e.Section && other.Text != e.Text {
			return &other
		}
	}
	return nil
}

// Leads returns the name of an entry and where it leads, "* Name: (file)node".
func Leads(entry string) string {
	key, _, _ := strings.Cut(entry, ".")
	return key
}

// parse returns all entries.
func parse(text string) (entries []Entry) {
	all := lines(text)
	i := begin(all)
	if i < 0 {
		return nil
	}
	heading := ""
	for i < len(all) {
		end := next(all, i)
		switch {
		case strings.HasPrefix(all[i], "* "):
			entries = append(entries, Entry{heading, entry(all[i:end]), strings.TrimSuffix(all[i-1], "\n")})
		case isHeading(all[i]):
			heading = strings.TrimSuffix(all[i], "\n")
		}
		i = end
	}
	return entries
}

// section returns where the lines below a heading begin and end, the blank ones at
// the end not among them; -1 if there is no such heading.
func section(all []string, heading string) (from, to int) {
	i := begin(all)
	if i < 0 {
		return -1, -1
	}
	if heading != "" {
		for i < len(all) && strings.TrimSuffix(all[i], "\n") != heading {
			i++
		}
		if i == len(all) {
			return -1, -1
		}
		i++
	}
	from = i
	for to = from; i < len(all) && !isHeading(all[i]); i++ {
		if !isBlank(all[i]) {
			to = i + 1
		}
	}
	return from, to
}

// next returns where what begins at a line ends: an entry has several.
func next(all []string, i int) int {
	entry := strings.HasPrefix(all[i], "* ")
	for i++; entry && i < len(all) && goesOn(all[i]); {
		i++
	}
	return i
}

// begin returns the line after "* Menu:", or -1.
func begin(all []string) int {
	i := slices.IndexFunc(all, func(l string) bool { return strings.EqualFold(strings.TrimSpace(l), menu) })
	if i < 0 {
		return -1
	}
	return i + 1
}

func entry(ls []string) string { return strings.TrimSuffix(strings.Join(ls, ""), "\n") }

func isBlank(line string) bool { return strings.TrimSpace(line) == "" }

func isHeading(line string) bool {
	return !isBlank(line) && !strings.HasPrefix(line, "* ") && !goesOn(line)
}

// goesOn reports whether a line is one more of the entry before it, if there is one.
func goesOn(line string) bool { return !isBlank(line) && (line[0] == ' ' || line[0] == '\t') }

func whole(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return text + "\n"
	}
	return text
}

// lines splits a text after each newline; the last one gets one.
func lines(text string) []string {
	return slices.Collect(strings.Lines(whole(text)))
}
