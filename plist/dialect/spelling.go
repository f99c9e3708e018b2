package dialect

import (
	"regexp"
	"strings"
)

// Var writes a reference to a variable in an Item. No path holds a NUL.
func Var(name string) string { return "\x00" + name + "\x00" }

// expand writes text with each variable between the given brackets.
func expand(text, open, end string) string {
	if !strings.Contains(text, "\x00") {
		return text
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "\x00") {
		if i%2 == 1 {
			part = open + part + end
		}
		b.WriteString(part)
	}
	return b.String()
}

// shown is text for people.
func shown(text string) string { return expand(text, "${", "}") }

// A spelling is how a tree's list refers to variables.
type spelling struct {
	format    string
	open, end string
	reference *regexp.Regexp // its first group is the name
	escape    string         // stands for open where it begins no reference; "" if nothing does
}

// The spellings: PLIST_SUBST's and SUBST_VARS' is that of make(1), PLIST_SUB's
// what its sed(1) command finds.
var (
	shellReference  = regexp.MustCompile(`\$\{([^{}$]+)\}`)
	pkgsrcSpelling  = spelling{format: "pkgsrc", open: "${", end: "}", reference: shellReference}
	openbsdSpelling = spelling{format: "openbsd", open: "${", end: "}", reference: shellReference, escape: `$\{`}
	freebsdSpelling = spelling{format: "freebsd", open: "%%", end: "%%", reference: regexp.MustCompile(`%%([A-Za-z0-9_.-]+)%%`)}
)

// read returns text with each reference as Var writes it.
func (s *spelling) read(text string) string {
	if !strings.Contains(text, s.open[:1]) {
		return text
	}
	text = s.reference.ReplaceAllString(text, "\x00$1\x00")
	if s.escape != "" {
		text = strings.ReplaceAll(text, s.escape, s.open)
	}
	return text
}

// write is the inverse of read. It refuses what would be read as something else.
func (s *spelling) write(it *Item, text string) (string, error) {
	if !strings.ContainsAny(text, s.open[:1]+"\x00") {
		return text, nil
	}
	written := text
	if s.escape != "" {
		written = strings.ReplaceAll(written, s.open, s.escape)
	}
	written = expand(written, s.open, s.end)
	if s.read(written) != text {
		return "", it.refuse(s.format, "it would be read with other variables")
	}
	return written, nil
}

// path is the item's path as all dialects have it: one line, and not empty.
func (s *spelling) path(it *Item) (string, error) {
	path, err := s.write(it, it.Path)
	switch {
	case err != nil:
		return "", err
	case path == "":
		return "", it.refuse(s.format, "an empty name")
	case strings.Contains(path, "\n"):
		return "", it.refuse(s.format, "a newline in a name")
	}
	return path, nil
}
