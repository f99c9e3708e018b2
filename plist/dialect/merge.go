package dialect

import (
	"fmt"
	"slices"
	"strings"
)

// A Variant is the list of one capture, the options that were on, and the lines
// that the Makefile has to have for it.
type Variant struct {
	Options  Assignment
	Items    []Item
	Makefile []string
}

// A Merged list holds what all variants install, each under the condition that
// was found for it.
type Merged struct {
	Items []Item
	Named map[string]Formula // conditions that no option stands for by itself

	// Ambiguous tells where the captures allow another condition as small, and
	// which further capture would decide.
	Ambiguous []Remark

	options []string      // of all variants
	lines   []conditional // of their Makefiles
}

// Merge finds the smallest condition for each entry of the variants, and checks
// it by evaluating the result under the options of each.
func Merge(variants []Variant) (*Merged, error) {
	variants = sameOptions(variants)
	m := &merger{
		merged:   &Merged{Named: make(map[string]Formula)},
		variants: variants,
		formulas: make(map[string]Term),
	}
	seen := make([]Assignment, len(variants))
	for i, v := range variants {
		seen[i] = v.Options
	}
	m.finder = newFinder(seen)
	m.merged.options = optionsOf(seen)
	m.order()
	for _, key := range m.keys {
		if err := m.add(key); err != nil {
			return nil, err
		}
	}
	if err := m.makefile(); err != nil {
		return nil, err
	}
	return m.merged, m.verify()
}

// sameOptions gives every variant all options: those not mentioned are off.
func sameOptions(variants []Variant) []Variant {
	var seen []Assignment
	for _, v := range variants {
		seen = append(seen, v.Options)
	}
	out := make([]Variant, len(variants))
	for i, v := range variants {
		out[i] = Variant{make(Assignment), v.Items, v.Makefile}
		for _, name := range optionsOf(seen) {
			out[i].Options[name] = v.Options[name]
		}
	}
	return out
}

// An itemKey is what makes two variants' items the same one: all but where they
// were read.
type itemKey struct {
	prefix string // of the last KindPrefix
	when   string
	kind   Kind
	typ    Type
	texts  [5]string
}

type merger struct {
	merged   *Merged
	variants []Variant
	finder   *finder
	formulas map[string]Term // by which captures have the entry

	keys    []itemKey // in the order of the result
	items   map[itemKey]Item
	present map[itemKey][]bool
}

// keyOf returns the key of an item. Lines that mean nothing have none.
func keyOf(prefix string, it *Item) (itemKey, bool) {
	key := itemKey{prefix: prefix, kind: it.Kind}
	switch it.Kind {
	case KindBlank:
		return key, false
	case KindID: // each has its own date
		return key, true
	}
	if len(it.When) > 0 {
		key.when = Term(it.When).String()
	}
	key.typ, key.texts = it.Type, [5]string{it.Path, it.Text, it.Owner, it.Group, it.Mode}
	return key, true
}

// order puts the items of all variants in one order: that of the first, with
// what others have more behind what stands before it there. Sorted lists stay
// sorted.
func (m *merger) order() {
	m.items = make(map[itemKey]Item)
	m.present = make(map[itemKey][]bool)
	next := make(map[itemKey][]itemKey) // what was first seen behind an item, the latest first
	sorted := true
	for n, v := range m.variants {
		var last itemKey // of no item: the start
		prefix := ""
		for i := range v.Items {
			it := &v.Items[i]
			if it.Kind == KindPrefix {
				prefix = it.Path
			}
			key, ok := keyOf(prefix, it)
			if !ok {
				continue
			}
			if m.present[key] == nil {
				m.items[key], m.present[key] = *it, make([]bool, len(m.variants))
				next[last] = append(next[last], key)
			}
			if before, ok := m.items[last]; ok && before.Kind == KindFile && it.Kind == KindFile && compareItems(before, *it) > 0 {
				sorted = false
			}
			m.present[key][n] = true
			last = key
		}
	}
	m.walk(next)
	if sorted {
		m.sortFiles()
	}
}

// walk lists the keys: behind each item what was first seen there, the latest
// variant's first.
func (m *merger) walk(next map[itemKey][]itemKey) {
	stack := slices.Clone(next[itemKey{}])
	for len(stack) > 0 {
		key := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		m.keys = append(m.keys, key)
		stack = append(stack, next[key]...)
	}
}

// sortFiles sorts each run of files.
func (m *merger) sortFiles() {
	for i := 0; i < len(m.keys); {
		k := i
		for k < len(m.keys) && (m.items[m.keys[k]].Kind == KindFile || m.items[m.keys[k]].Kind == KindSample) {
			k++
		}
		slices.SortStableFunc(m.keys[i:k], func(a, b itemKey) int {
			x, y := m.items[a], m.items[b]
			return compareItems(x, y)
		})
		i = max(k, i+1)
	}
}

// add puts an item into the result, with its condition.
func (m *merger) add(key itemKey) error {
	it := m.items[key]
	it.Line = 0
	switch it.Kind {
	case KindComment, KindID, KindPrefix: // are for all
	default:
		term, err := m.condition(m.present[key], &it)
		if err != nil {
			return err
		}
		it.When = append(slices.Clone(term), it.When...)
	}
	m.merged.Items = append(m.merged.Items, it)
	return nil
}

// condition returns the term for what is present in some of the captures. A
// formula of more than one term gets a name.
func (m *merger) condition(present []bool, it *Item) (Term, error) {
	pattern := fmt.Sprint(present)
	if term, ok := m.formulas[pattern]; ok {
		return term, nil
	}
	found, err := m.find(present, shown(it.Path+it.Text))
	if err != nil {
		return nil, err
	}
	term := found[0]
	if len(found) > 1 {
		term = Term{{Name: m.nameOf(found)}}
		m.merged.Named[term[0].Name] = found
	}
	m.formulas[pattern] = term
	return term, nil
}

// find returns the formula for what is present in some of the captures, and tells
// if it is not the only one.
func (m *merger) find(present []bool, what string) (Formula, error) {
	found, rival := m.finder.find(present)
	if !m.finder.fits(found, present) {
		return nil, fmt.Errorf("%s: there and not there under the same options", printable(what))
	}
	if rival != nil {
		m.merged.Ambiguous = append(m.merged.Ambiguous, Remark{
			what, fmt.Sprintf("could also be %s: a capture with %q would decide", rival, decides(found, rival)),
		})
	}
	return found, nil
}

// nameOf names a formula. What begins with "no_" would read as an opposite.
func (m *merger) nameOf(f Formula) string {
	name := f.String()
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("cond%d", len(m.merged.Named)+1)
	case strings.HasPrefix(name, "no_"):
		return "if_" + name
	}
	return name
}

// maxName is how long a name made of options may be.
const maxName = 40

// verify evaluates the result under each capture's options.
func (m *merger) verify() error {
	for n, v := range m.variants {
		got := make(map[itemKey]bool)
		prefix := ""
		for _, it := range m.merged.Evaluate(v.Options) {
			if it.Kind == KindPrefix {
				prefix = it.Path
			}
			if key, ok := keyOf(prefix, &it); ok {
				got[key] = true
			}
		}
		for key, present := range m.present {
			if it := m.items[key]; got[key] != present[n] && it.Kind != KindComment && it.Kind != KindID && it.Kind != KindPrefix {
				return fmt.Errorf("%q under %q: the merged list does not agree with the capture", it.Path, v.Options)
			}
		}
	}
	return nil
}

// Evaluate returns the items whose found conditions hold, without these
// conditions; those that the variants themselves had stay.
func (m *Merged) Evaluate(options Assignment) []Item {
	all := make(Assignment)
	for name, on := range options {
		all[name] = on
	}
	for name, f := range m.Named {
		all[name] = f.Holds(options)
	}
	var items []Item
	for _, it := range m.Items {
		n := 0
		for n < len(it.When) && knownTo(all, it.When[n]) {
			n++
		}
		if Term(it.When[:n]).holds(all) {
			it.When = slices.Clone(it.When[n:])
			items = append(items, it)
		}
	}
	return items
}

func knownTo(options Assignment, c Cond) bool {
	_, ok := options[c.Name]
	return ok
}
