package dialect

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Makefile is what the Makefile of a port declares, as far as that can be read
// without running make(1): the assignments of all branches count.
type Makefile struct {
	words    map[string][]string // by variable
	included []string            // as written, but for references that are known
	unread   bool                // an included file that is not the framework's is not here
	lists    int                 // packing lists beside it
	keywords map[string]bool     // that FreeBSD's tree defines, with their "@"
}

// ReadMakefile reads a Makefile, or that of a directory, and what it includes
// and is there. What the trees' frameworks are made of is left out: that would be
// to run make(1).
func ReadMakefile(name string) (*Makefile, error) {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		name = filepath.Join(name, "Makefile")
	}
	m := &Makefile{words: make(map[string][]string), keywords: make(map[string]bool)}
	if err := m.read(name, make(map[string]bool)); err != nil {
		return nil, err
	}
	// OpenBSD's bsd.port.mk includes the first, the ports below a directory the
	// second, and pkgsrc's djbware.mk the third.
	beside := []string{"../Makefile.inc", "Makefile.inc", "options.mk"}
	for _, module := range m.of("MODULES") {
		beside = append(beside, "../../"+module+"/"+path.Base(module)+".port.mk")
	}
	for _, beside := range beside {
		err := m.read(filepath.Join(filepath.Dir(name), beside), make(map[string]bool))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	lists, err := filepath.Glob(filepath.Join(filepath.Dir(name), "PLIST*"))
	if err != nil {
		return nil, err
	}
	m.lists = len(lists)
	keywords, err := filepath.Glob(filepath.Join(filepath.Dir(name), "../../Keywords/*.ucl"))
	for _, keyword := range keywords {
		m.keywords["@"+strings.TrimSuffix(filepath.Base(keyword), ".ucl")] = true
	}
	return m, err
}

var (
	assignment  = regexp.MustCompile(`^ *([^\s:+?!=#]+)\s*[:+?!]?=\s*(.*)$`)
	inclusion   = regexp.MustCompile(`^\.\s*-?(?:include|sinclude|dinclude)\s*[<"]([^>"]+)[>"]`)
	loop        = regexp.MustCompile(`^\.\s*for\s+(\S+)\s+in\s+(.*)$`)
	makeComment = regexp.MustCompile(`(^|[^\\])#.*$`)
)

// framework matches included files that are the tree's own; a port may have a
// bsd.NAME.mk for its neighbours.
var framework = regexp.MustCompile(`(^|/)(mk|Mk)/|^bsd\.[a-z.]*mk$|buildlink3\.mk$`)

func (m *Makefile) read(name string, seen map[string]bool) error {
	if seen[name] {
		return nil
	}
	seen[name] = true
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimRight(makeComment.ReplaceAllString(line, "$1"), " \t\r\n")
		if a := assignment.FindStringSubmatch(line); a != nil {
			for word := range strings.FieldsSeq(a[2]) {
				if word != "${"+a[1]+"}" { // all that it was before counts anyway
					m.words[a[1]] = append(m.words[a[1]], word)
				}
			}
		} else if l := loop.FindStringSubmatch(line); l != nil {
			m.words[l[1]] = append(m.words[l[1]], strings.Fields(l[2])...)
		} else if i := inclusion.FindStringSubmatch(line); i != nil {
			if err := m.include(name, i[1], seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// include notes an included file, and reads it if it is the port's or its
// neighbour's.
func (m *Makefile) include(from, name string, seen map[string]bool) error {
	if names := m.expand([]string{name}); len(names) == 1 {
		name = names[0]
	}
	name = strings.NewReplacer("${.CURDIR}", ".", "${.PARSEDIR}", ".", "${PORTSDIR}", "../..").Replace(name)
	m.included = append(m.included, path.Clean(name))
	if framework.MatchString(name) {
		return nil
	}
	err := m.read(filepath.Join(filepath.Dir(from), name), seen)
	if errors.Is(err, fs.ErrNotExist) {
		m.unread = true
		return nil
	}
	return err
}

// includes reports whether a file of that name is included.
func (m *Makefile) includes(name string) bool {
	return slices.ContainsFunc(m.included, func(s string) bool {
		return s == name || strings.HasSuffix(name, "/"+path.Base(path.Dir(s))+"/"+path.Base(s))
	})
}

// References that refer to themselves end after so many rounds or words.
const (
	maxExpansion = 10
	maxWords     = 10_000
)

// of returns the words that a variable may have. What refers to something that
// is not known here stays a reference.
func (m *Makefile) of(variable string) []string { return m.expand(m.words[variable]) }

func (m *Makefile) expand(words []string) []string {
	for range maxExpansion {
		var out []string
		changed := false
		for _, word := range words {
			ref := shellReference.FindStringSubmatchIndex(word)
			if ref == nil || m.words[word[ref[2]:ref[3]]] == nil {
				out = append(out, word)
				continue
			}
			changed = true
			for _, value := range m.words[word[ref[2]:ref[3]]] {
				out = append(out, word[:ref[0]]+value+word[ref[1]:])
			}
		}
		if words = out; !changed || len(words) > maxWords {
			break
		}
	}
	return words
}

// may reports whether a word may be among those of a variable: whether one is
// the same, or refers to what is not known.
func (m *Makefile) may(variable, word string) bool {
	return m.unread || slices.ContainsFunc(m.of(variable), func(s string) bool { return couldBe(s, word) })
}

// couldBe reports whether a word with references may be another one.
func couldBe(pattern, word string) bool {
	if !strings.Contains(pattern, "$") {
		return pattern == word
	}
	parts := anyReference.Split(pattern, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	re, err := regexp.Compile("^" + strings.Join(parts, ".*") + "$")
	return err == nil && re.MatchString(word)
}

// anyReference is one with whatever modifiers, or of one letter.
var anyReference = regexp.MustCompile(`\$(\{[^{}]*(\{[^{}]*\}[^{}]*)*\}|\([^()]*\)|.)`)

// defines reports whether a variable is set, or may be.
func (m *Makefile) defines(variable string) bool { return m.unread || m.words[variable] != nil }
