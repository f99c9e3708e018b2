package dialect

import (
	"fmt"
	"strings"
)

// An Item is what one or more lines of a packing list say, in no dialect.
type Item struct {
	Kind Kind

	// Path is where the file is, below the prefix or absolute. In it and in Text
	// a variable stands as Var writes it.
	Path string
	Text string // a comment or a command

	// Owner, Group and Mode are "" where they are the default.
	Owner, Group, Mode string
}

// Kind says what an Item is about.
type Kind uint8

// The kinds of items.
const (
	KindFile    Kind = iota + 1 // anything that is no directory
	KindDir                     // a directory that must be listed
	KindPrefix                  // Path is what the paths that follow are below
	KindComment                 // Text is for people
	KindID                      // the line that version control keeps
)

// Unexpressible says that a dialect has no way to say something.
type Unexpressible struct {
	Format string
	Path   string // the entry
	Reason string
}

func (e *Unexpressible) Error() string {
	return fmt.Sprintf("%s: %q cannot be expressed: %s", e.Format, e.Path, e.Reason)
}

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
