package dialect

import (
	"cmp"
	"slices"
	"strings"
)

// An Assignment says which options were on in a capture.
type Assignment map[string]bool

// String names the options that are on.
func (a Assignment) String() string {
	var names []string
	for name, on := range a {
		if on {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// A Term is a conjunction: it holds if all its conditions do.
type Term []Cond

// A Formula is a disjunction of terms. One empty term is always true.
type Formula []Term

func (c Cond) holds(a Assignment) bool { return a[c.Name] != c.Not }

func (t Term) holds(a Assignment) bool {
	return !slices.ContainsFunc(t, func(c Cond) bool { return !c.holds(a) })
}

// Holds evaluates f.
func (f Formula) Holds(a Assignment) bool {
	return slices.ContainsFunc(f, func(t Term) bool { return t.holds(a) })
}

// Len counts the conditions of f.
func (f Formula) Len() int {
	n := 0
	for _, t := range f {
		n += len(t)
	}
	return n
}

func (c Cond) String() string {
	if c.Not {
		return "no_" + c.Name
	}
	return c.Name
}

func (t Term) String() string {
	names := make([]string, len(t))
	for i, c := range t {
		names[i] = c.String()
	}
	return strings.Join(names, "_and_")
}

// String is f as part of a name.
func (f Formula) String() string {
	names := make([]string, len(f))
	for i, t := range f {
		names[i] = t.String()
	}
	return strings.Join(names, "_or_")
}

// A finder finds the smallest formula for what was seen.
type finder struct {
	seen  []Assignment
	ranks [][]Formula // candidates, the simplest first, equally simple ones together
}

func newFinder(seen []Assignment) *finder {
	var literals, opposites []Cond
	for _, name := range optionsOf(seen) {
		literals = append(literals, Cond{Name: name})
		opposites = append(opposites, Cond{Name: name, Not: true})
	}
	f := &finder{seen: seen, ranks: [][]Formula{{{Term{}}}, singles(literals), singles(opposites)}}
	var both, one, none, or []Formula
	for i, x := range literals {
		for k, y := range literals {
			if i != k {
				one = append(one, Formula{{x, opposites[k]}})
			}
			if i < k {
				both = append(both, Formula{{x, y}})
				none = append(none, Formula{{opposites[i], opposites[k]}})
				or = append(or, Formula{{x}, {y}})
			}
		}
	}
	f.ranks = append(f.ranks, both, one, none, or)
	return f
}

func singles(conds []Cond) []Formula {
	formulas := make([]Formula, len(conds))
	for i, c := range conds {
		formulas[i] = Formula{{c}}
	}
	return formulas
}

// optionsOf returns the names of all options, sorted.
func optionsOf(seen []Assignment) []string {
	var names []string
	for _, a := range seen {
		for name := range a {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// find returns the smallest formula that is true exactly where present says, and
// another one that is as small and would do as well, if there is one.
func (f *finder) find(present []bool) (found, rival Formula) {
	for _, rank := range f.ranks {
		for _, candidate := range rank {
			switch {
			case !f.fits(candidate, present):
			case found == nil:
				found = candidate
			default:
				return found, candidate
			}
		}
		if found != nil {
			return found, nil
		}
	}
	return f.cover(present), nil
}

func (f *finder) fits(candidate Formula, present []bool) bool {
	for i, a := range f.seen {
		if candidate.Holds(a) != present[i] {
			return false
		}
	}
	return true
}

// cover builds a disjunction: a term for each capture that no term before holds
// in, from all its options down to the fewest that tell it from the captures
// without the entry.
func (f *finder) cover(present []bool) Formula {
	var formula Formula
	for i, a := range f.seen {
		if !present[i] || formula.Holds(a) {
			continue
		}
		term := f.minterm(a)
		for k := 0; k < len(term); {
			shorter := slices.Delete(slices.Clone(term), k, k+1)
			if f.excludes(shorter, present) {
				term = shorter
			} else {
				k++
			}
		}
		slices.SortStableFunc(term, func(x, y Cond) int { return cmp.Compare(btoi(x.Not), btoi(y.Not)) })
		formula = append(formula, term)
	}
	for i := 0; i < len(formula); { // a term may hold nowhere that later ones do not
		if rest := slices.Delete(slices.Clone(formula), i, i+1); f.fits(rest, present) {
			formula = rest
		} else {
			i++
		}
	}
	slices.SortFunc(formula, func(x, y Term) int { return strings.Compare(x.String(), y.String()) })
	return formula
}

// minterm is the term that holds in a alone; what is off stands first, to be
// dropped first.
func (f *finder) minterm(a Assignment) Term {
	var term Term
	for _, name := range optionsOf(f.seen) {
		term = append(term, Cond{Name: name, Not: !a[name]})
	}
	slices.SortStableFunc(term, func(x, y Cond) int { return cmp.Compare(btoi(!x.Not), btoi(!y.Not)) })
	return term
}

// excludes reports whether t holds in no capture without the entry.
func (f *finder) excludes(t Term, present []bool) bool {
	for i, a := range f.seen {
		if !present[i] && t.holds(a) {
			return false
		}
	}
	return true
}

// decides returns options for a capture that would tell two formulas apart.
func decides(f, g Formula) Assignment {
	names := make(Assignment)
	for _, formula := range []Formula{f, g} {
		for _, t := range formula {
			for _, c := range t {
				names[c.Name] = false
			}
		}
	}
	keys := optionsOf([]Assignment{names})
	for bits := range 1 << len(keys) {
		a := make(Assignment)
		for i, name := range keys {
			a[name] = bits&(1<<i) != 0
		}
		if f.Holds(a) != g.Holds(a) {
			return a
		}
	}
	return nil // they are the same
}
