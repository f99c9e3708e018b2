package dialect

import (
	"fmt"
	"strings"
)

// An Item is what a line of a packing list says, in no dialect.
type Item struct {
	Kind Kind
	Line int    // where it was read, counted from 1; 0 if it was not
	When []Cond // all must hold
	Type Type   // of a file or directory, "" if it is nothing special or not known

	// Path is where the file is, below the prefix or absolute. In it and in Text
	// a variable stands as Var writes it.
	Path string

	// Text is a comment, a command, a user, the source of a sample; of KindOther
	// the line as it was read.
	Text string

	// Owner, Group and Mode are "" where they are the default.
	Owner, Group, Mode string
}

// special reports whether an owner or mode is not the default.
func (it *Item) special() bool { return it.Owner != "" || it.Group != "" || it.Mode != "" }

// ordinary returns it with the default owner and mode.
func (it *Item) ordinary() Item {
	plain := *it
	plain.Owner, plain.Group, plain.Mode = "", "", ""
	return plain
}

// Kind says what an Item is about.
type Kind uint8

// The kinds of items.
const (
	KindFile     Kind = iota + 1 // anything that is no directory
	KindDir                      // a directory that must be listed
	KindRmdir                    // a directory that was once to be listed for its removal only
	KindSample                   // Path is made as a copy of file Text, or as a directory, if it is not there
	KindPrefix                   // Path is what the paths that follow are below; "" for the first one again
	KindExec                     // Text is run after installation
	KindUnexec                   // Text is run after removal
	KindUser                     // Text is a passwd(5)-like line
	KindGroup                    // Text is "name:gid"
	KindTag                      // Text is the name of a hook, and its arguments
	KindFragment                 // another file is read here if When holds
	KindComment                  // Text is for people
	KindID                       // the line that version control keeps
	KindBlank
	KindOther // only the dialect it was read in can say it
)

// Type says what a file is, where some dialect has a word for it.
type Type string

// The types of files and directories.
const (
	TypeProgram   Type = "program"    // an executable of the machine, not a script
	TypeLibrary   Type = "library"    // a shared library that programs link with
	TypePlugin    Type = "plugin"     // a shared object that programs load
	TypeArchive   Type = "archive"    // a static library
	TypeLibtool   Type = "libtool"    // a libtool archive, .la
	TypePkgconfig Type = "pkg-config" // a .pc file
	TypeMan       Type = "man"        // a manual page
	TypeInfo      Type = "info"       // an info file, its first part
	TypeShell     Type = "shell"      // a login shell
	TypeRCScript  Type = "rc script"  // starts a daemon
	TypeFonts     Type = "fonts"      // a directory of fonts
	TypeManDir    Type = "man pages"  // a directory that holds man1, man2 ...
)

// A Cond is a condition that must hold, or must not.
type Cond struct {
	Name string
	Not  bool
}

// Unexpressible says that a dialect has no way to say something.
type Unexpressible struct {
	Format string
	Line   int    // of the list it was read from; 0 if it was not
	Entry  string // its path, or its line
	Reason string
}

func (e *Unexpressible) Error() string {
	line := ""
	if e.Line > 0 {
		line = fmt.Sprintf("line %d: ", e.Line)
	}
	return fmt.Sprintf("%s%q cannot be written as %s: %s", line, e.Entry, e.Format, e.Reason)
}

// refuse is the error that an item is not for a dialect.
func (it *Item) refuse(format, reason string) error {
	entry := it.Path
	if entry == "" {
		entry = it.Text
	}
	return &Unexpressible{format, it.Line, shown(entry), reason}
}

// Items returns what the lines say.
func (doc *Document) Items() ([]Item, error) {
	d, err := find(doc.Format)
	if err != nil {
		return nil, err
	}
	if d.read == nil {
		return nil, fmt.Errorf("%s: no list of a ports tree", doc.Format)
	}
	r := reader{items: make([]Item, 0, len(doc.Lines))}
	for i := range doc.Lines {
		l := &doc.Lines[i]
		if l.holds("\x00") {
			return nil, fmt.Errorf("line %d: a NUL byte", i+1)
		}
		it := Item{Line: i + 1}
		d.read(&r, l, &it)
		if it.Kind == KindOther || it.Path == "" && (it.aboutPath() || it.Kind == KindPrefix && doc.Format != "freebsd") {
			it = Item{Kind: KindOther, Line: i + 1, Text: strings.TrimSpace(string(d.appendLine(nil, l)))}
		}
		if it.Kind != 0 {
			r.items = append(r.items, it)
		}
	}
	return r.items, nil
}

// aboutPath reports whether it is about one path.
func (it *Item) aboutPath() bool { return KindFile <= it.Kind && it.Kind <= KindSample }

// A reader is what the lines so far have set.
type reader struct {
	items              []Item
	owner, group, mode string
}

// set takes @owner, @group and @mode, which hold for the lines after them.
func (r *reader) set(l *Line, arg string) bool {
	if len(l.When)+len(l.Attrs) > 0 {
		return false // they would hold for some, or mean something else
	}
	arg = strings.TrimSpace(arg)
	switch l.Word {
	case "@owner":
		r.owner = arg
	case "@group":
		r.group = arg
	case "@mode":
		r.mode = arg
	default:
		return false
	}
	return true
}

// attributes gives it what the lines before have set.
func (r *reader) attributes(it *Item) {
	it.Owner, it.Group, it.Mode = r.owner, r.group, r.mode
}

// A writer is a text being written, with what its lines so far have set.
type writer struct {
	b                  []byte
	owner, group, mode string
	file               Item // the file that was listed last
	start, end         int  // of its line in b
}

// command writes an item that is a word and a text, if the dialect has the word.
// A comment is for people: nothing in it is a variable.
func (w *writer) command(words map[Kind]string, it *Item, when string, s *spelling) error {
	word, text := words[it.Kind], it.Text
	if word == "" {
		return it.refuse(s.format, "there is no such command")
	}
	if it.Kind != KindComment {
		var err error
		if text, err = s.write(it, text); err != nil {
			return err
		}
	}
	w.line(strings.TrimRight(when+word+" "+text, " "))
	return nil
}

// makefile writes in comments what the Makefile has to say of an item.
func (w *writer) makefile(when string, it *Item, s *spelling) {
	for _, line := range makefileLines(s.format, it) {
		w.line(when, "@comment Makefile: ", expand(line, s.open, s.end))
	}
}

func (w *writer) line(parts ...string) {
	for _, p := range parts {
		w.b = append(w.b, p...)
	}
	w.b = append(w.b, '\n')
}
