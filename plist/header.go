package plist

import (
	"fmt"
	"strings"
)

// header returns the lines before the entries.
func (l *List) header() nativeLine {
	line := nativeLine(nativeMagic + "\n#package")
	line.word("name", Vis(l.Name))
	line.word("version", Vis(l.Version))
	line.word("prefix", Vis(l.Prefix))
	line = append(line, '\n')
	for _, n := range l.Notes {
		line.words("#note", string(n.Kind), n.Text)
	}
	for _, a := range l.Accounts {
		line.words("#"+string(a.Kind), a.Line)
	}
	for _, e := range l.Info {
		if e.Preamble {
			line.words("#info-dir", e.Dir, e.Text)
		} else {
			line.words("#info", e.Dir, e.Section, e.After, e.Text)
		}
	}
	for _, d := range l.Provides {
		line.words("#provides", string(d.Kind), d.Name, d.Version)
	}
	for _, d := range l.Requires {
		line.words("#requires", string(d.Kind), d.Name, d.Version)
	}
	return line
}

// words appends a line of the header; the last words may be empty.
func (b *nativeLine) words(head string, words ...string) {
	*b = append(*b, head...)
	for _, word := range words {
		*b = append(*b, ' ')
		*b = append(*b, Vis(word)...)
	}
	*b = append(*b, '\n')
}

// headerWords is how many words each line of the header has behind its name.
var headerWords = map[string]int{"#note": 2, "#user": 1, "#group": 1, "#shell": 1, "#info-dir": 2, "#info": 4, "#provides": 3, "#requires": 3}

// readHeader reads a line that begins with "#", after the second one.
func (l *List) readHeader(line string) error {
	words := strings.Split(line, " ")
	head, words := words[0], words[1:]
	if n, ok := headerWords[head]; !ok || l.Entries != nil {
		return fmt.Errorf("unknown header %q", head)
	} else if len(words) != n {
		return fmt.Errorf("%s: %d words, want %d", head, len(words), n)
	}
	for i, word := range words {
		var err error
		if words[i], err = unvis(word); err != nil {
			return err
		}
	}
	switch head {
	case "#note":
		l.Notes = append(l.Notes, Note{NoteKind(words[0]), words[1]})
	case "#info-dir":
		l.Info = append(l.Info, InfoEntry{Dir: words[0], Text: words[1], Preamble: true})
	case "#info":
		l.Info = append(l.Info, InfoEntry{Dir: words[0], Section: words[1], After: words[2], Text: words[3]})
	case "#provides":
		l.Provides = append(l.Provides, Dependency{DependencyKind(words[0]), words[1], words[2]})
	case "#requires":
		l.Requires = append(l.Requires, Dependency{DependencyKind(words[0]), words[1], words[2]})
	default:
		l.Accounts = append(l.Accounts, Account{AccountKind(head[1:]), words[0]})
	}
	return nil
}

// readPackage reads the second line.
func (l *List) readPackage(line string) error {
	fields := map[string]*string{"name": &l.Name, "version": &l.Version, "prefix": &l.Prefix}
	for word := range strings.SplitSeq(strings.TrimPrefix(line, "#package "), " ") {
		key, value, _ := strings.Cut(word, "=")
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("unknown or repeated word %q", word)
		}
		delete(fields, key)
		var err error
		if *field, err = unvis(value); err != nil {
			return err
		}
	}
	for key := range fields {
		return fmt.Errorf("%s is missing", key)
	}
	return nil
}
