package dialect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Finding is something that a tree's reviewers would send a list back for.
type Finding struct {
	Line     int // from 1; 0 for the list as a whole
	Severity Severity
	Text     string
}

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// A pathRule is what a tree says of names.
type pathRule struct {
	part     string // that all these names have, or begin with: quicker to find
	begin    bool
	name     *regexp.Regexp
	severity Severity
	text     string
}

// rules makes the rules of a table of part, pattern, severity and text.
func rules(table [][4]string) []pathRule {
	out := make([]pathRule, len(table))
	for i, row := range table {
		out[i] = pathRule{row[0], strings.HasPrefix(row[1], "^"+row[0]), regexp.MustCompile(row[1]), Severity(row[2]), row[3]}
	}
	return out
}

// A checker reads one list from the first line to the last.
type checker struct {
	doc      *Document
	makefile *Makefile // nil if it is not known
	findings []Finding

	line   int    // of the item that is looked at
	prefix string // of the last @cwd before it

	files  map[string]int // key of an unconditional file -> its line
	listed map[string]int // key of a file, under whatever conditions -> the first line
}

// at goes to an item; the first one begins a new pass over the list.
func (c *checker) at(items []Item, i int) *Item {
	it := &items[i]
	c.line = it.Line
	if i == 0 {
		c.prefix = ""
	}
	if it.Kind == KindPrefix {
		c.prefix = it.Path
	}
	return it
}

// key is what tells a path from the same one below another prefix.
func (c *checker) key(path string) string {
	if c.prefix == "" {
		return path
	}
	return c.prefix + "\n" + path
}

// Check reports what is wrong with a list, by line; with the port's Makefile, if it
// is not nil, also what the two do not agree on. A list of a form that is no ports
// tree's is right if it can be read.
func Check(doc *Document, m *Makefile) ([]Finding, error) {
	d, err := find(doc.Format)
	if err != nil {
		return nil, err
	}
	if d.readList != nil {
		return checkList(d, doc)
	}
	c := &checker{doc: doc, makefile: m}
	c.lines()
	items, err := doc.Items()
	if err != nil {
		return c.findings, nil // lines has told it
	}
	c.files, c.listed = make(map[string]int, len(items)), make(map[string]int, len(items))
	for i := range items {
		c.item(c.at(items, i))
	}
	d.check(c, items)
	if m != nil {
		c.declared(items)
	}
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return a.Line - b.Line })
	return c.findings, nil
}

// checkList reads a list as a whole: its reader knows the line.
func checkList(d *dialect, doc *Document) ([]Finding, error) {
	var text strings.Builder
	if _, err := doc.WriteTo(&text); err != nil {
		return nil, err
	}
	if _, err := d.readList(strings.NewReader(text.String())); err != nil {
		return []Finding{{0, Error, err.Error()}}, nil
	}
	return nil, nil
}

func (c *checker) report(severity Severity, format string, args ...any) {
	c.findings = append(c.findings, Finding{c.line, severity, shown(fmt.Sprintf(format, args...))})
}

// lines checks what is not in the items: bytes, blanks and a missing newline.
func (c *checker) lines() {
	for i := range c.doc.Lines {
		l := &c.doc.Lines[i]
		c.line = i + 1
		if blanks := strings.TrimSuffix(l.End, "\n"); blanks != "" && l.Word+l.Arg != "" {
			c.report(Error, "white space at the end of the line")
		} else if strings.HasSuffix(l.Arg, "\r") { // where it is part of a name
			c.report(Error, "a carriage return at the end of the line")
		}
		if l.holds("\x00") {
			c.report(Error, "a NUL byte")
		}
		if i == 0 && strings.HasPrefix(l.Arg, "\ufeff") {
			c.report(Error, "a byte order mark")
		}
		if i == len(c.doc.Lines)-1 && !strings.HasSuffix(l.End, "\n") {
			c.report(Error, "no newline at the end of the list")
		}
	}
}

// item checks what all trees want.
func (c *checker) item(it *Item) {
	switch it.Kind {
	case KindFile, KindDir, KindSample:
	default:
		return
	}
	if !cleanPath(it.Path) {
		c.report(Error, "%q is no clean path", shown(it.Path))
	}
	if it.Kind != KindFile {
		return
	}
	if rule := junkIn(it.Path); rule != nil && rule.tree == "" && !c.foreign(it.Path) {
		c.report(rule.severity, "%s: %s", it.Path, rule.reason)
	}
	key := c.key(it.Path)
	if c.listed[key] == 0 {
		c.listed[key] = it.Line
	}
	if len(it.When) > 0 {
		return
	}
	if first, ok := c.files[key]; ok {
		c.report(Error, "%s is there twice, first in line %d", it.Path, first)
	} else {
		c.files[key] = it.Line
	}
}

// foreign reports whether a path is one of another system that lies below the
// prefix, as that of Linux does on FreeBSD: it has its own indexes.
func (c *checker) foreign(path string) bool { return c.prefix == "" && strings.HasPrefix(path, "usr/") }

// cleanPath reports whether a path, absolute or not, has no empty component and
// no "." and "..".
func cleanPath(s string) bool {
	for elem := range strings.SplitSeq(strings.TrimPrefix(s, "/"), "/") {
		if elem == "" || elem == "." || elem == ".." {
			return false
		}
	}
	return true
}

func (rule *pathRule) mayMatch(path string) bool {
	if rule.begin {
		return strings.HasPrefix(path, rule.part)
	}
	return strings.Contains(path, rule.part)
}

// paths reports what the rules say of a name, the first of them that matches.
func (c *checker) paths(it *Item, rules []pathRule) {
	for i := range rules {
		if rule := &rules[i]; rule.mayMatch(it.Path) && rule.name.MatchString(it.Path) {
			c.report(rule.severity, "%s: %s", it.Path, rule.text)
			return
		}
	}
}

// firstLine wants the line of version control.
func (c *checker) firstLine(items []Item, id string) {
	c.line = 1
	switch {
	case len(items) == 0 || !slices.ContainsFunc(items, func(it Item) bool { return it.Kind != KindID && it.Kind != KindBlank }):
		c.report(Error, "the list is empty")
	case items[0].Kind != KindID:
		c.report(Error, "the first line is not \"@comment %s\"", id)
	}
}
