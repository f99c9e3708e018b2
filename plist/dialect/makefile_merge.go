package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A conditional is a line of the Makefile that some variants want, and when.
type conditional struct {
	line string
	when Formula
}

// makefile finds for each line of the variants' Makefiles when it is wanted.
func (m *merger) makefile() error {
	present := make(map[string][]bool)
	for n, v := range m.variants {
		for _, line := range splitJoined(v.Makefile) {
			if present[line] == nil {
				present[line] = make([]bool, len(m.variants))
			}
			present[line][n] = true
		}
	}
	for _, line := range slices.Sorted(maps.Keys(present)) {
		when, err := m.find(present[line], line)
		if err != nil {
			return err
		}
		m.merged.lines = append(m.merged.lines, conditional{line, when})
	}
	return nil
}

// A fragment is a part of a Makefile being written.
type fragment struct {
	always []string
	on     map[string][]string // by test
	off    map[string][]string
}

// Makefile returns the lines that define the conditions in a tree, and those that
// the variants want.
func (m *Merged) Makefile(tree string) []string {
	f := &fragment{on: make(map[string][]string), off: make(map[string][]string)}
	conds := m.conditions()
	if len(conds)+len(m.lines) == 0 {
		return nil
	}
	for _, c := range conds {
		formula, named := m.Named[c.Name]
		if !named {
			formula = Formula{{c}}
		}
		f.define(tree, c, formula, named)
	}
	for _, l := range m.lines {
		f.add(tree, l)
	}
	for _, name := range m.options {
		f.always = append(f.always, map[string]string{"pkgsrc": "PKG_SUPPORTED_OPTIONS+= ", "freebsd": "OPTIONS_DEFINE+= ", "openbsd": "FLAVORS+= "}[tree]+optionName(tree, name))
	}
	return f.lines(tree)
}

// conditions returns those that items stand under, each once.
func (m *Merged) conditions() []Cond {
	used := make(map[Cond]bool)
	for _, it := range m.Items {
		for _, c := range it.When {
			if _, named := m.Named[c.Name]; named || slices.Contains(m.options, c.Name) {
				used[c] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(used), func(a, b Cond) int { return strings.Compare(a.String(), b.String()) })
}

// define says what a condition of the list is.
func (f *fragment) define(tree string, c Cond, formula Formula, named bool) {
	test := formula.test(tree)
	switch {
	case tree == "pkgsrc":
		f.always = append(f.always, "PLIST_VARS+= "+c.String())
		f.on[test] = append(f.on[test], "PLIST."+c.String()+"= yes")
	case tree == "freebsd" && named:
		name := strings.ToUpper(c.Name)
		f.on[test] = append(f.on[test], `PLIST_SUB+= `+name+`=""`)
		f.off[test] = append(f.off[test], `PLIST_SUB+= `+name+`="@comment "`)
	case tree == "freebsd": // defines what options stand for themselves
		if line := "OPTIONS_SUB= yes"; !slices.Contains(f.always, line) {
			f.always = append(f.always, line)
		}
	case named: // OpenBSD's flavors are conditions by themselves
		f.on[test] = append(f.on[test], "PKG_ARGS+= -D"+c.Name+"=1")
		f.off[test] = append(f.off[test], "PKG_ARGS+= -D"+c.Name+"=0")
	}
}

// add puts a line where it belongs.
func (f *fragment) add(tree string, l conditional) {
	uses, isUses := strings.CutPrefix(l.line, "USES+= ")
	switch test := l.when.test(tree); {
	case test == "":
		f.always = append(f.always, l.line)
	case isUses && tree == "freebsd" && len(l.when) == 1 && len(l.when[0]) == 1 && !l.when[0][0].Not:
		f.always = append(f.always, optionName(tree, l.when[0][0].Name)+"_USES+= "+uses)
	default:
		f.on[test] = append(f.on[test], l.line)
	}
}

// lines returns the fragment: what holds always, what the framework has for
// options, and what depends on them. Other included files come last.
func (f *fragment) lines(tree string) []string {
	lines := sortMakefile(f.always)
	n := slices.IndexFunc(lines, func(line string) bool { return line[0] == '.' })
	if n < 0 {
		n = len(lines)
	}
	var blocks []string
	if include := map[string]string{"pkgsrc": `.include "../../mk/bsd.options.mk"`, "freebsd": ".include <bsd.port.options.mk>"}[tree]; include != "" && len(f.on) > 0 {
		blocks = []string{include}
	}
	for _, test := range slices.Sorted(maps.Keys(f.on)) {
		blocks = append(blocks, ".if "+test)
		blocks = append(blocks, sortMakefile(f.on[test])...)
		if off := f.off[test]; off != nil {
			blocks = append(append(blocks, ".else"), off...)
		}
		blocks = append(blocks, ".endif")
	}
	return slices.Insert(lines, n, blocks...)
}

// optionName is how a tree writes an option's name.
func optionName(tree, name string) string {
	if tree == "freebsd" {
		return swapCase(name)
	}
	return name
}

// test writes f as an expression of make(1); "" if it always holds.
func (f Formula) test(tree string) string {
	forms := map[string][2]string{
		"pkgsrc":  {"!empty(PKG_OPTIONS:M%s)", "empty(PKG_OPTIONS:M%s)"},
		"freebsd": {"${PORT_OPTIONS:M%s}", "empty(PORT_OPTIONS:M%s)"},
		"openbsd": {"${FLAVOR:M%s}", "empty(FLAVOR:M%s)"},
	}[tree]
	terms := make([]string, len(f))
	for i, t := range f {
		conds := make([]string, len(t))
		for k, c := range t {
			conds[k] = fmt.Sprintf(forms[btoi(c.Not)], optionName(tree, c.Name))
		}
		terms[i] = strings.Join(conds, " && ")
		if len(conds) > 1 && len(f) > 1 {
			terms[i] = "(" + terms[i] + ")"
		}
	}
	return strings.Join(terms, " || ")
}
