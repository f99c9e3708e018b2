package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// An Updated list is an old one with as few lines changed as a new capture asks
// for.
type Updated struct {
	Document *Document
	Gone     []Remark // lines that were taken out
	Added    []Remark // paths that were put in
	Kept     []Remark // lines that the capture says nothing for, and stay
}

// Update brings an old list up to date with the items of a new capture. Lines
// that still hold stay as they are, with their variables, conditions and order;
// so do comments and commands. What is new is put behind the path before it in
// bytewise order, with the variables that the old list uses.
func Update(old *Document, items []Item, vars []Variable) (*Updated, error) {
	d, err := find(old.Format)
	if err != nil {
		return nil, err
	}
	oldItems, err := old.Items()
	if err != nil {
		return nil, err
	}
	u := &updater{dialect: d, old: oldItems, result: &Updated{}, fresh: make(map[string]bool), gone: make(map[int]bool), bound: make(map[int]bool)}
	u.prefixes = flatten(u.old)
	items = u.pagesAsBefore(items)
	flat := slices.Clone(items)
	prefixes := flatten(flat)
	for i := range flat {
		if listsPath(&flat[i]) {
			u.fresh[flat[i].Path] = true
		}
	}
	u.values = u.valuesOf(vars)
	u.compare()
	u.adoptVariables(vars)
	var added []newPlace
	for i := range items {
		if listsPath(&items[i]) && u.fresh[flat[i].Path] {
			n := newPlace{flat[i].Path, prefixes[i], []Item{items[i]}}
			if i+1 < len(items) && items[i+1].Kind == KindSample && items[i+1].Text == items[i].Path {
				n.items = append(n.items, items[i+1])
			}
			added = append(added, n)
		}
	}
	insert, err := u.insertions(added, len(old.Lines))
	if err != nil {
		return nil, err
	}
	u.result.Document = u.assemble(old, insert)
	return u.result, nil
}

// flatten makes the paths of items those that they are behind all prefixes, and returns
// the prefix of each.
func flatten(items []Item) []string {
	prefixes := make([]string, len(items))
	prefix := ""
	for i := range items {
		if it := &items[i]; it.Kind == KindPrefix {
			prefix = below(it.Path, "")
		} else if it.aboutPath() {
			it.Path = below(prefix, it.Path)
		}
		prefixes[i] = prefix
	}
	return prefixes
}

type updater struct {
	dialect  *dialect
	old      []Item            // flat
	prefixes []string          // of the old items
	fresh    map[string]bool   // paths of the capture that no line stands for yet
	values   map[string]string // of the variables in the old list
	gone     map[int]bool      // lines to take out
	bound    map[int]bool      // lines that are about the path before them: a sample, a command with its name
	places   []oldPlace        // lines with a path that stay, sorted by it
	result   *Updated
}

// An oldPlace is a line that stays.
type oldPlace struct {
	path   string // flat, with the values of variables
	prefix string
	item   *Item
}

// A newPlace is a path to be put in.
type newPlace struct {
	path   string // flat
	prefix string
	items  []Item // what there is to say of it, not flat
}

// frameworkValues are what frameworks put for variables that say where things
// belong.
var frameworkValues = map[string]string{
	"PKGMANDIR": "man", "PKGINFODIR": "info", "PKGLOCALEDIR": "share", "PKGGNUDIR": "gnu/",
	"MODPY_COMMENT": "", "MODPY_PYCACHE": "__pycache__/", "MODPY_PYC_MAGIC_TAG": "cpython-3.",
}

// valuesOf returns the values of the variables that the old list uses: given,
// or the ones for which most lines are still right.
func (u *updater) valuesOf(vars []Variable) map[string]string {
	values := make(map[string]string)
	given := make(map[string]string)
	for name, value := range frameworkValues {
		given[name] = value
	}
	for _, v := range vars {
		given[v.Name] = v.Values[0]
	}
	lines := make(map[string][]string) // variable not given -> paths that use it
	for i := range u.old {
		it := &u.old[i]
		parts := strings.Split(it.Path, "\x00")
		for i := 1; i < len(parts); i += 2 {
			if value, ok := given[parts[i]]; ok {
				values[parts[i]] = value
			} else if listsPath(it) && len(lines[parts[i]]) < maxVotes {
				lines[parts[i]] = append(lines[parts[i]], it.Path)
			}
		}
	}
	for before := -1; len(values) != before; { // what one is tells what others are
		before = len(values)
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			if value, ok := u.vote(name, lines[name], values); ok {
				values[name] = value
				delete(lines, name)
			}
		}
	}
	return values
}

// pagesAsBefore lets manual pages lie where the old list has them, in man or in
// share/man: the tree decides that, not the version.
func (u *updater) pagesAsBefore(items []Item) []Item {
	below := func(dir string) func(Item) bool {
		return func(it Item) bool { return strings.HasPrefix(it.Path, dir) }
	}
	from, to := "share/man/", "man/"
	if !slices.ContainsFunc(u.old, below(to)) {
		from, to = to, from
	}
	if !slices.ContainsFunc(u.old, below(to)) || slices.ContainsFunc(u.old, below(from)) {
		return items
	}
	items = slices.Clone(items)
	for i := range items {
		if rest, ok := strings.CutPrefix(items[i].Path, from); ok {
			items[i].Path = to + rest
		}
	}
	return items
}

// adoptVariables takes those of the given variables for new lines that the old
// list does not use, unless one of its lines that stay has the value spelled out.
func (u *updater) adoptVariables(vars []Variable) {
	for _, v := range vars {
		if _, used := u.values[v.Name]; used {
			continue
		}
		spelled := func(o oldPlace) bool { return v.occursIn(o.item.Path) }
		if !slices.ContainsFunc(u.places, spelled) {
			u.values[v.Name] = v.Values[0]
		}
	}
}

// maxVotes bounds the lines by which a variable's value is found.
const maxVotes = 50

// vote returns the value of a variable for which most of the paths are in the
// capture. Only what has no other unknown variable votes.
func (u *updater) vote(name string, paths []string, values map[string]string) (string, bool) {
	votes := make(map[string]int)
	for _, p := range paths {
		before, after, _ := strings.Cut(withValues(p, values), Var(name))
		if strings.Contains(before+after, "\x00") {
			continue
		}
		for fresh := range u.fresh {
			rest, ok := strings.CutPrefix(fresh, before)
			value, ok2 := strings.CutSuffix(rest, after)
			if ok && ok2 && value != "" {
				votes[value]++
			}
		}
	}
	best := ""
	for value, n := range votes {
		if n > votes[best] || n == votes[best] && (len(value) < len(best) || len(value) == len(best) && value < best) {
			best = value
		}
	}
	return best, best != ""
}

// withValues puts the known values into a path.
func withValues(p string, values map[string]string) string {
	if !strings.Contains(p, "\x00") {
		return p
	}
	for name, value := range values {
		p = strings.ReplaceAll(p, Var(name), value)
	}
	return p
}

// compare finds for each line whether the capture still has it.
func (u *updater) compare() {
	present := make(map[string]bool, len(u.fresh))
	for p := range u.fresh {
		present[p] = true
	}
	lastGone := false // the path before is
	for i := range u.old {
		it := &u.old[i]
		switch {
		case it.Kind == KindComment: // a path that is commented out is meant not to be listed
			delete(u.fresh, it.Text)
		case it.Kind == KindSample && it.Text != "", namesFile(it):
			u.bound[it.Line] = true
			if lastGone {
				u.gone[it.Line] = true
				u.result.Gone = append(u.result.Gone, Remark{shown(cmp.Or(it.Path, it.Text)), fmt.Sprintf("line %d: goes with the path before it", it.Line)})
			}
		case listsPath(it):
			lastGone = !u.holds(i, present)
		}
	}
	slices.SortStableFunc(u.places, func(a, b oldPlace) int { return strings.Compare(a.path, b.path) })
}

// listsPath reports whether an item is about a path of its own: no copy of a
// sample, no command.
func listsPath(it *Item) bool {
	return it.Kind == KindFile || it.Kind == KindDir || it.Kind == KindSample && it.Text == ""
}

// namesFile reports whether a command has the name of the path before it.
func namesFile(it *Item) bool {
	return (it.Kind == KindExec || it.Kind == KindUnexec) &&
		(strings.Contains(it.Text, "%F") || strings.Contains(it.Text, "%f") || strings.Contains(it.Text, "%B"))
}

// holds reports whether a line with a path stays, and tells why not, or why it
// does although the capture does not have the path.
func (u *updater) holds(i int, present map[string]bool) bool {
	it := &u.old[i]
	p := withValues(it.Path, u.values)
	switch {
	case u.has(present, it.Path):
		delete(u.fresh, p)
		delete(u.fresh, it.Path)
	case len(it.When) > 0:
		u.result.Kept = append(u.result.Kept, Remark{p, fmt.Sprintf("line %d: not in this capture, which may lack %s", it.Line, Term(it.When))})
	case strings.Contains(p, "\x00"):
		u.result.Kept = append(u.result.Kept, Remark{shown(p), fmt.Sprintf("line %d: its variable's value is not known", it.Line)})
	default:
		u.gone[it.Line] = true
		u.result.Gone = append(u.result.Gone, Remark{p, fmt.Sprintf("line %d: not installed any more", it.Line)})
		return false
	}
	u.places = append(u.places, oldPlace{p, u.prefixes[i], it})
	return true
}

// has looks a path up as it is written and with the values of its variables.
func (u *updater) has(present map[string]bool, p string) bool {
	return present[p] || present[withValues(p, u.values)]
}

// insertions returns the text to put behind each old line, by its number; 0 is
// the start of the list, and what has no other place goes behind the last one.
func (u *updater) insertions(added []newPlace, last int) (map[int]string, error) {
	vars := make([]Variable, 0, len(u.values))
	for name, value := range u.values {
		dir := strings.Contains(value, "/") || frameworkValues[name] == value
		vars = append(vars, Variable{Name: name, Values: []string{value}, Dir: dir})
	}
	slices.SortFunc(vars, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	insert := make(map[int]string)
	prefix := "" // behind the last line
	if len(u.prefixes) > 0 {
		prefix = u.prefixes[len(u.prefixes)-1]
	}
	for _, n := range added {
		after := u.before(&n)
		u.result.Added = append(u.result.Added, Remark{n.path, "new" + u.adopt(after, &n)})
		group, _ := Substitute(n.items, nil, vars)
		line := u.headLine()
		switch {
		case after != nil:
			line = after.item.Line
			for u.bound[line+1] {
				line++
			}
		case n.isAbsolute():
			line = last
			if prefix != n.prefix && !strings.HasPrefix(group[0].Path, "/") {
				group = slices.Insert(group, 0, Item{Kind: KindPrefix, Path: n.prefix})
				prefix = n.prefix
			}
		}
		var w writer
		for k := range group {
			group[k].tieToDirectory()
			if err := u.dialect.render(&w, &group[k]); err != nil {
				return nil, err
			}
		}
		insert[line] += string(w.b)
	}
	return insert, nil
}

// before returns the place with the greatest path below that of n behind which n can
// stand.
func (u *updater) before(n *newPlace) *oldPlace {
	i, _ := slices.BinarySearchFunc(u.places, n.path, func(o oldPlace, p string) int { return strings.Compare(o.path, p) })
	for i--; i >= 0; i-- {
		o := &u.places[i]
		if strings.HasPrefix(o.path, "/") == n.isAbsolute() && (o.prefix == n.prefix || strings.HasPrefix(n.items[0].Path, "/")) {
			return o
		}
	}
	return nil
}

func (n *newPlace) isAbsolute() bool { return strings.HasPrefix(n.path, "/") }

// headLine is the line of version control, if the list begins with one.
func (u *updater) headLine() int {
	if len(u.old) > 0 && u.old[0].Kind == KindID {
		return u.old[0].Line
	}
	return 0
}

// adopt gives new items the conditions that all their neighbours in the same
// directory have, and says so.
func (u *updater) adopt(after *oldPlace, n *newPlace) string {
	dir := path.Dir(n.path)
	if dir == "." || after == nil || len(after.item.When) == 0 || path.Dir(after.path) != dir {
		return ""
	}
	when := after.item.When
	for _, o := range u.places {
		if path.Dir(o.path) == dir && !slices.Equal(o.item.When, when) {
			return ""
		}
	}
	for k := range n.items {
		n.items[k].When = slices.Clone(when)
	}
	return ", under " + Term(when).String() + " as its neighbours"
}

// assemble builds the new document.
func (u *updater) assemble(old *Document, insert map[int]string) *Document {
	doc := &Document{Format: old.Format}
	add := func(text string) {
		if text == "" {
			return
		}
		if n := len(doc.Lines); n > 0 && !strings.HasSuffix(doc.Lines[n-1].End, "\n") {
			doc.Lines[n-1].End += "\n"
		}
		for line := range strings.Lines(text) {
			var l Line
			u.dialect.split(line, &l)
			doc.Lines = append(doc.Lines, l)
		}
	}
	add(insert[0])
	for i, l := range old.Lines {
		if !u.gone[i+1] {
			doc.Lines = append(doc.Lines, l)
		}
		add(insert[i+1])
	}
	return doc
}
