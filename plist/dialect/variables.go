package dialect

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Variable of a ports tree, and its value in each of one or two captures.
type Variable struct {
	Name   string
	Values []string

	// Dir says that the value is a directory: it counts only at the start of a
	// path, and whole.
	Dir bool

	place *regexp.Regexp // its last group is where of several variables this one is meant
}

// Substitute puts references to variables into the paths of the first capture.
//
// If other, the items of a second capture, is not nil, a value is replaced
// exactly where the second capture has its second value instead. Otherwise, or
// for a variable with the same value in both, it is replaced where it stands at
// the boundaries of a word: never inside a longer number, and not as the version
// of a shared library, which only looks like the package's. What is left open is
// told.
func Substitute(items, other []Item, vars []Variable) ([]Item, []Remark) {
	s := &substitution{vars: slices.Clone(vars), here: pathsOf(items), there: pathsOf(other), reached: make(map[string]bool), two: other != nil}
	slices.SortStableFunc(s.vars, func(a, b Variable) int { return cmp.Compare(len(b.Values[0]), len(a.Values[0])) })
	out := slices.Clone(items)
	for i := range out {
		it := &out[i]
		switch it.Kind {
		case KindFile, KindDir, KindSample:
			it.Path = s.path(it.Path)
			if it.Kind == KindSample && it.Text != "" {
				it.Text = s.path(it.Text)
			}
		}
	}
	for _, it := range other {
		if (it.Kind == KindFile || it.Kind == KindDir) && !s.here[it.Path] && !s.reached[it.Path] {
			s.tell(it.Path, "is only in the second capture")
		}
	}
	return out, s.open
}

type substitution struct {
	vars        []Variable // the longest value first
	here, there map[string]bool
	reached     map[string]bool // paths of the second capture that one of the first becomes
	two         bool            // there is a second capture
	open        []Remark
}

func pathsOf(items []Item) map[string]bool {
	paths := make(map[string]bool)
	for _, it := range items {
		if it.Path != "" {
			paths[it.Path] = true
		}
	}
	return paths
}

// An occurrence is where a path holds a variable's value.
type occurrence struct {
	start, end int
	variable   *Variable
	rival      *Variable // of the same value
}

// path returns a path with references.
func (s *substitution) path(path string) string {
	found := s.occurrences(path)
	var sure, varying []occurrence
	open := len(s.open)
	for _, o := range found {
		if s.two && o.variable.differs() {
			varying = append(varying, o)
		} else if s.guarded(path, o) {
			sure = append(sure, o)
		}
	}
	evident := s.evident(path, varying)
	if s.two && !s.there[path] && len(evident) == 0 && len(s.open) == open {
		s.tell(path, "is only in the first capture")
	}
	return replace(path, append(sure, evident...))
}

// differs reports whether the captures show the variable at work.
func (v *Variable) differs() bool { return len(v.Values) > 1 && v.Values[0] != v.Values[1] }

// occurrences finds all values, longer ones first, none inside another.
func (s *substitution) occurrences(path string) []occurrence {
	var found []occurrence
	for i := range s.vars {
		v := &s.vars[i]
		value := v.Values[0]
		for at := 0; value != ""; {
			n := strings.Index(path[at:], value)
			if n < 0 {
				break
			}
			o := occurrence{at + n, at + n + len(value), v, nil}
			at = o.start + 1
			if !o.possible(path) {
				continue
			}
			if k := slices.IndexFunc(found, func(f occurrence) bool { return o.start < f.end && f.start < o.end }); k < 0 {
				found = append(found, o)
			} else if f := &found[k]; f.start == o.start && f.end == o.end {
				f.settle(path, v)
			}
		}
	}
	return found
}

// settle decides between an occurrence's variable and another of the same value:
// the one that is meant in such a place, if only one is; else one for all places.
func (o *occurrence) settle(path string, v *Variable) {
	mine, other := o.variable.meantAt(path, o), v.meantAt(path, o)
	if !mine && !other {
		mine, other = o.variable.place == nil, v.place == nil
	}
	switch {
	case mine == other:
		o.rival = v
	case other:
		o.variable, o.rival = v, nil
	}
}

func (v *Variable) meantAt(path string, o *occurrence) bool {
	if v.place == nil {
		return false
	}
	m := v.place.FindStringSubmatchIndex(path)
	return m != nil && m[len(m)-2] == o.start && m[len(m)-1] == o.end
}

// occursIn reports whether a path may have the variable's first value.
func (v *Variable) occursIn(path string) bool {
	s := substitution{vars: []Variable{*v}}
	return len(s.occurrences(path)) > 0
}

// possible rules out what cannot be the value: a part of a directory's name, of
// a number, or of a variable.
func (o *occurrence) possible(path string) bool {
	if strings.Count(path[:o.start], "\x00")%2 == 1 {
		return false
	}
	after := path[o.end:]
	if o.variable.Dir {
		return o.start == 0 && (after == "" || after[0] == '/')
	}
	before := path[:o.start]
	return !endsInNumber(before, path[o.start]) && !startsWithNumber(after, path[o.end-1])
}

// endsInNumber reports whether a number goes on from before into first: "12" or
// "1.2".
func endsInNumber(before string, first byte) bool {
	n := len(before)
	return isDigit(first) && n > 0 && (isDigit(before[n-1]) || before[n-1] == '.' && n > 1 && isDigit(before[n-2]))
}

func startsWithNumber(after string, last byte) bool {
	return isDigit(last) && after != "" && (isDigit(after[0]) || after[0] == '.' && len(after) > 1 && isDigit(after[1]))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// guarded decides without a second capture.
func (s *substitution) guarded(path string, o occurrence) bool {
	value := path[o.start:o.end]
	switch {
	case o.rival != nil:
		s.tell(path, "%s is the value of %s and of %s", value, o.variable.Name, o.rival.Name)
	case o.variable.Dir:
		return true
	case strings.HasSuffix(path[:o.start], ".so."):
		s.tell(path, "%s may be %s or the library's own version", value, o.variable.Name)
	case len(value) <= 2:
		s.tell(path, "%s is too short to be %s for sure", value, o.variable.Name)
	case o.end < len(path) && isAlnum(path[o.end]) || o.start > 0 && isAlnum(path[o.start-1]) && !strings.Contains(value, "."):
		s.tell(path, "%s may be %s or a part of a word", value, o.variable.Name)
	default:
		return true
	}
	return false
}

func (s *substitution) tell(path, format string, args ...any) {
	s.open = append(s.open, Remark{path, fmt.Sprintf(format, args...)})
}

// maxVarying bounds the choices that evident tries.
const maxVarying = 8

// evident returns those of the varying occurrences that the second capture shows
// replaced.
func (s *substitution) evident(path string, varying []occurrence) []occurrence {
	if len(varying) == 0 || s.there[path] {
		return nil // the same in both
	}
	if len(varying) > maxVarying {
		s.tell(path, "too many places where a variable may be")
		return nil
	}
	var fit [][]occurrence
	for bits := 1; bits < 1<<len(varying); bits++ {
		var chosen []occurrence
		for i, o := range varying {
			if bits&(1<<i) != 0 {
				chosen = append(chosen, o)
			}
		}
		if q := otherValues(path, chosen); s.there[q] && !s.here[q] {
			fit = append(fit, chosen)
		}
	}
	switch len(fit) {
	case 0:
		return nil
	case 1:
		s.reached[otherValues(path, fit[0])] = true
		for _, o := range fit[0] {
			if o.rival != nil && o.rival.Values[1] == o.variable.Values[1] {
				s.tell(path, "%s is the value of %s and of %s", path[o.start:o.end], o.variable.Name, o.rival.Name)
				return nil
			}
		}
		return fit[0]
	}
	s.tell(path, "the second capture has more than one path that it may be there")
	return nil
}

// otherValues returns path as the second capture may have it.
func otherValues(path string, chosen []occurrence) string {
	return splice(path, chosen, func(o occurrence) string { return o.variable.Values[1] })
}

func replace(path string, chosen []occurrence) string {
	return splice(path, chosen, func(o occurrence) string { return Var(o.variable.Name) })
}

func splice(path string, chosen []occurrence, with func(occurrence) string) string {
	if len(chosen) == 0 {
		return path
	}
	chosen = slices.Clone(chosen)
	slices.SortFunc(chosen, func(a, b occurrence) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	at := 0
	for _, o := range chosen {
		b.WriteString(path[at:o.start])
		b.WriteString(with(o))
		at = o.end
	}
	b.WriteString(path[at:])
	return b.String()
}

// Substitute puts references to variables into the list, as the function of that
// name does, and the conditions that FreeBSD's framework ties to a directory.
func (p *Port) Substitute(other *Port, vars []Variable) {
	var items []Item
	if other != nil {
		items = other.Items
	}
	var open []Remark
	p.Items, open = Substitute(p.Items, items, vars)
	p.Remarks = append(p.Remarks, open...)
	for i := range p.Items {
		p.Items[i].tieToDirectory()
	}
}

// tieToDirectory gives an item the condition that FreeBSD's framework ties to its
// directory.
func (it *Item) tieToDirectory() {
	for _, dir := range [][2]string{{"DOCSDIR", "portdocs"}, {"EXAMPLESDIR", "portexamples"}} {
		if strings.HasPrefix(it.Path, Var(dir[0])+"/") && len(it.When) == 0 {
			it.When = []Cond{{Name: dir[1]}}
		}
	}
}
