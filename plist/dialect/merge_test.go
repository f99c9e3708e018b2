package dialect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// variant reads a list; options are a comma-separated word.
func variant(t *testing.T, format, options, list string) Variant {
	t.Helper()
	items, err := parse(t, format, list).Items()
	if err != nil {
		t.Fatal(err)
	}
	a := make(Assignment)
	for name := range strings.SplitSeq(options, ",") {
		if name != "" {
			a[name] = true
		}
	}
	return Variant{Options: a, Items: items}
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct {
		name      string
		variants  map[string]string
		pkgsrc    string
		ambiguous string
		makefile  string
	}{
		{
			name:     "literals",
			variants: map[string]string{"": "bin/a\nlib/old\n", "nls": "bin/a\nlib/old\nshare/nls\n", "doc": "bin/a\nshare/doc\n", "doc,nls": "bin/a\nshare/doc\nshare/nls\n"},
			pkgsrc:   "bin/a\n${PLIST.no_doc}lib/old\n${PLIST.doc}share/doc\n${PLIST.nls}share/nls\n",
			makefile: "PKG_SUPPORTED_OPTIONS+= doc nls\nPLIST_VARS+= doc nls no_doc\n.include \"../../mk/bsd.options.mk\"\n.if !empty(PKG_OPTIONS:Mdoc)\nPLIST.doc= yes\n.endif\n.if !empty(PKG_OPTIONS:Mnls)\nPLIST.nls= yes\n.endif\n.if empty(PKG_OPTIONS:Mdoc)\nPLIST.no_doc= yes\n.endif\n",
		},
		{
			name:     "both, one without the other, neither",
			variants: map[string]string{"": "d\n", "x": "b\n", "y": "", "x,y": "a\n"},
			pkgsrc:   "${PLIST.x}${PLIST.y}a\n${PLIST.x}${PLIST.no_y}b\n${PLIST.no_x}${PLIST.no_y}d\n",
		},
		{
			name:     "one of two",
			variants: map[string]string{"": "", "x": "a\n", "y": "a\n", "x,y": "a\n"},
			pkgsrc:   "${PLIST.x_or_y}a\n",
			makefile: "PKG_SUPPORTED_OPTIONS+= x y\nPLIST_VARS+= x_or_y\n.include \"../../mk/bsd.options.mk\"\n.if !empty(PKG_OPTIONS:Mx) || !empty(PKG_OPTIONS:My)\nPLIST.x_or_y= yes\n.endif\n",
		},
		{
			name:     "either, not both",
			variants: map[string]string{"": "", "x": "a\n", "y": "a\n", "x,y": ""},
			pkgsrc:   "${PLIST.x_and_no_y_or_y_and_no_x}a\n",
			makefile: "PKG_SUPPORTED_OPTIONS+= x y\nPLIST_VARS+= x_and_no_y_or_y_and_no_x\n.include \"../../mk/bsd.options.mk\"\n.if (!empty(PKG_OPTIONS:Mx) && empty(PKG_OPTIONS:My)) || (!empty(PKG_OPTIONS:My) && empty(PKG_OPTIONS:Mx))\nPLIST.x_and_no_y_or_y_and_no_x= yes\n.endif\n",
		},
		{
			name:     "three at once need no name",
			variants: map[string]string{"x,y,z": "a\n", "x,y": "", "y,z": "", "x,z": "", "": ""},
			pkgsrc:   "${PLIST.x}${PLIST.y}${PLIST.z}a\n",
		},
		{
			name:      "not enough captures",
			variants:  map[string]string{"": "", "x,y": "a\n"},
			pkgsrc:    "${PLIST.x}a\n",
			ambiguous: `a: could also be y: a capture with "x" would decide`,
		},
		{
			name:     "two prefixes, and comments are for all",
			variants: map[string]string{"": "@comment $NetBSD$\na\n@cwd /\na\n", "x": "@comment $NetBSD: b$\n@comment hello\na\nb\n@cwd /\na\nb\n"},
			pkgsrc:   "@comment $NetBSD$\n@comment hello\na\n${PLIST.x}b\n@cwd /\na\n${PLIST.x}b\n",
		},
		{
			name:     "an order of its own",
			variants: map[string]string{"": "b\na\nd\n", "x": "b\nc\na\nd\ne\n"},
			pkgsrc:   "b\n${PLIST.x}c\na\nd\n${PLIST.x}e\n",
		},
		{
			name:     "conditions of the lists' own stay",
			variants: map[string]string{"": "${PLIST.gl}a\n", "x": "${PLIST.gl}a\n${PLIST.gl}b\n"},
			pkgsrc:   "${PLIST.gl}a\n${PLIST.x}${PLIST.gl}b\n",
		},
	} {
		var variants []Variant
		for _, options := range slices.Sorted(func(yield func(string) bool) {
			for o := range tt.variants {
				if !yield(o) {
					return
				}
			}
		}) {
			variants = append(variants, variant(t, "pkgsrc", options, tt.variants[options]))
		}
		m, err := Merge(variants)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var b, ambiguous strings.Builder
		if err := WriteItems(&b, "pkgsrc", m.Items); err != nil {
			t.Fatal(err)
		}
		if b.String() != tt.pkgsrc {
			t.Errorf("%s: got\n%swant\n%s", tt.name, b.String(), tt.pkgsrc)
		}
		for _, r := range m.Ambiguous {
			ambiguous.WriteString(r.Path + ": " + r.Text)
		}
		if ambiguous.String() != tt.ambiguous {
			t.Errorf("%s: ambiguous %q, want %q", tt.name, ambiguous.String(), tt.ambiguous)
		}
		if got := strings.Join(m.Makefile("pkgsrc"), "\n") + "\n"; tt.makefile != "" && got != tt.makefile {
			t.Errorf("%s: Makefile\n%swant\n%s", tt.name, got, tt.makefile)
		}
	}
}

func TestMergeFreeBSD(t *testing.T) {
	m, err := Merge([]Variant{
		variant(t, "freebsd", "", ""), variant(t, "freebsd", "x", "a\nb\n"), variant(t, "freebsd", "y", "a\nc\n"), variant(t, "freebsd", "x,y", "a\nb\nc\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteItems(&b, "freebsd", m.Items); err != nil {
		t.Fatal(err)
	}
	if want := "%%X_OR_Y%%a\n%%X%%b\n%%Y%%c\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	want := "OPTIONS_DEFINE+= X Y|OPTIONS_SUB= yes|.include <bsd.port.options.mk>|.if ${PORT_OPTIONS:MX} || ${PORT_OPTIONS:MY}|PLIST_SUB+= X_OR_Y=\"\"|.else|PLIST_SUB+= X_OR_Y=\"@comment \"|.endif"
	if got := strings.Join(m.Makefile("freebsd"), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMergeMakefile: what the variants' Makefiles want stands under conditions, too.
func TestMergeMakefile(t *testing.T) {
	with := func(v Variant, lines ...string) Variant {
		v.Makefile = lines
		return v
	}
	for tree, want := range map[string]string{
		"pkgsrc":  `PKG_SUPPORTED_OPTIONS+= nls x|PLIST_VARS+= nls|RCD_SCRIPTS+= a|USES+= always|.include "../../mk/bsd.options.mk"|.if !empty(PKG_OPTIONS:Mnls)|PLIST.nls= yes|USES+= gettext|.endif|.if empty(PKG_OPTIONS:Mx)|RCD_SCRIPTS+= b|.endif|.include "z.mk"`,
		"freebsd": `NLS_USES+= gettext|OPTIONS_DEFINE+= NLS X|OPTIONS_SUB= yes|RCD_SCRIPTS+= a|USES+= always|.include <bsd.port.options.mk>|.if empty(PORT_OPTIONS:MX)|RCD_SCRIPTS+= b|.endif|.include "z.mk"`,
		"openbsd": `FLAVORS+= nls x|RCD_SCRIPTS+= a|USES+= always|.if ${FLAVOR:Mnls}|USES+= gettext|.endif|.if empty(FLAVOR:Mx)|RCD_SCRIPTS+= b|.endif|.include "z.mk"`,
	} {
		m, err := Merge([]Variant{
			with(variant(t, "pkgsrc", "", "a\n"), "RCD_SCRIPTS+= a b", "USES+= always", `.include "z.mk"`),
			with(variant(t, "pkgsrc", "nls", "a\nb\n"), "RCD_SCRIPTS+= a b", "USES+= always gettext", `.include "z.mk"`),
			with(variant(t, "pkgsrc", "x", "a\n"), "RCD_SCRIPTS+= a", "USES+= always", `.include "z.mk"`),
			with(variant(t, "pkgsrc", "nls,x", "a\nb\n"), "RCD_SCRIPTS+= a", "USES+= always gettext", `.include "z.mk"`),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(m.Makefile(tree), "|"); got != want {
			t.Errorf("%s: got  %s\nwant %s", tree, got, want)
		}
	}
}

func TestMergeRefusesContradictions(t *testing.T) {
	_, err := Merge([]Variant{variant(t, "pkgsrc", "x", "a\n"), variant(t, "pkgsrc", "x", "a\nb\n")})
	if err == nil || !strings.Contains(err.Error(), "b: there and not there") {
		t.Error(err)
	}
}

// TestFinder is about random formulas seen in random captures: what is found
// agrees with each capture, nothing in it can be left out, it is never longer than
// the plain disjunction of the captures' options, and it is a single term, as short
// as there is, if one of up to two conditions agrees.
func TestFinder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		options := []string{"a", "b", "c", "d", "e"}[:1+rng.IntN(5)]
		hidden := randomFormula(rng, options)
		var seen []Assignment
		var present []bool
		plain := make(map[string]bool)
		for range 1 + rng.IntN(12) {
			a := make(Assignment)
			for _, name := range options {
				a[name] = rng.IntN(2) == 0
			}
			seen, present = append(seen, a), append(present, isTrue(hidden, a))
			if isTrue(hidden, a) {
				plain[a.String()] = true
			}
		}
		if len(plain) == 0 {
			continue
		}
		agrees := func(f Formula) bool {
			for i, a := range seen {
				if isTrue(f, a) != present[i] {
					return false
				}
			}
			return true
		}
		found, rival := newFinder(seen).find(present)
		if !agrees(found) {
			t.Fatalf("%v does not agree with %v in %v", found, present, seen)
		}
		if rival != nil && (!agrees(rival) || decides(found, rival) == nil) {
			t.Fatalf("%v is no rival of %v", rival, found)
		}
		if found.Len() > len(plain)*len(options) || len(found) > len(plain) {
			t.Fatalf("%v is longer than the captures %v", found, plain)
		}
		for i, term := range found {
			if rest := slices.Delete(slices.Clone(found), i, i+1); agrees(rest) {
				t.Fatalf("%v is more than %v", found, rest)
			}
			for k := range term {
				shorter := slices.Clone(found)
				shorter[i] = slices.Delete(slices.Clone(term), k, k+1)
				if agrees(shorter) {
					t.Fatalf("%v is longer than %v", found, shorter)
				}
			}
		}
		for _, term := range shortTerms(options) {
			if agrees(Formula{term}) && (len(found) > 1 || found.Len() > len(term)) {
				t.Fatalf("%v is longer than %v", found, term)
			}
		}
	}
}

// isTrue evaluates f by what its parts say, not by the code that is tested.
func isTrue(f Formula, a Assignment) bool {
	for _, term := range f {
		holds := true
		for _, c := range term {
			if c.Not && a[c.Name] || !c.Not && !a[c.Name] {
				holds = false
			}
		}
		if holds {
			return true
		}
	}
	return false
}

// shortTerms are all terms of up to two conditions.
func shortTerms(options []string) []Term {
	terms := []Term{{}}
	var conds []Cond
	for _, name := range options {
		conds = append(conds, Cond{Name: name}, Cond{Name: name, Not: true})
	}
	for i, x := range conds {
		terms = append(terms, Term{x})
		for _, y := range conds[i+1:] {
			if x.Name != y.Name {
				terms = append(terms, Term{x, y})
			}
		}
	}
	return terms
}

func randomFormula(rng *rand.Rand, options []string) Formula {
	var f Formula
	for range 1 + rng.IntN(3) {
		var term Term
		for _, name := range options {
			switch rng.IntN(4) {
			case 0:
				term = append(term, Cond{Name: name})
			case 1:
				term = append(term, Cond{Name: name, Not: true})
			}
		}
		f = append(f, term)
	}
	return f
}

// TestMergeSurvivesText writes merged lists of random captures, reads them and
// evaluates them: the loop from captures to text and back is closed.
func TestMergeSurvivesText(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, format := range []string{"pkgsrc", "freebsd"} {
		for range 200 {
			options := []string{"nls", "doc", "x11"}
			formulas := make([]Formula, 12)
			for i := range formulas {
				formulas[i] = randomFormula(rng, options)
			}
			var variants []Variant
			for bits := range 8 {
				v := Variant{Options: make(Assignment)}
				for i, name := range options {
					v.Options[name] = bits&(1<<i) != 0
				}
				for i, f := range formulas {
					if f.Holds(v.Options) {
						v.Items = append(v.Items, Item{Kind: KindFile, Path: fmt.Sprintf("file%02d", i)})
					}
				}
				variants = append(variants, v)
			}
			merged, err := Merge(variants)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := WriteItems(&b, format, merged.Items); err != nil {
				t.Fatal(err)
			}
			read, err := parse(t, format, b.String()).Items()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range variants {
				checkText(t, read, merged.Named, v, b.String())
			}
		}
	}
}

func checkText(t *testing.T, read []Item, named map[string]Formula, v Variant, text string) {
	t.Helper()
	all := make(Assignment)
	for name, on := range v.Options {
		all[name], all["no_"+name] = on, !on // pkgsrc's names of opposites
	}
	for name, f := range named {
		all[name] = f.Holds(v.Options)
	}
	var got, want []string
	for _, it := range read {
		if Term(it.When).holds(all) {
			got = append(got, it.Path)
		}
	}
	for _, it := range v.Items {
		want = append(want, it.Path)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("under %q: %v, want %v, of\n%s", v.Options, got, want, text)
	}
}

func TestFragments(t *testing.T) {
	file := func(path string, when ...Cond) Item { return Item{Kind: KindFile, Path: path, When: when} }
	x, y := Cond{Name: "x"}, Cond{Name: "y", Not: true}
	files := Fragments([]Item{{Kind: KindID}, file("a"), file("b", x), file("c", x, y), file("d", y), file("e", x)})
	want := map[string]string{
		"PLIST":        "@comment $OpenBSD: PLIST,v$\na\n%%x%%\n!%%y%%\n",
		"PFRAG.x":      "@comment $OpenBSD: PLIST,v$\nb\n!%%y%%\ne\n",
		"PFRAG.no-y-x": "@comment $OpenBSD: PLIST,v$\nc\n",
		"PFRAG.no-y":   "@comment $OpenBSD: PLIST,v$\nd\n",
	}
	names := FragmentNames(files)
	if len(names) != len(want) || names[0] != "PLIST" {
		t.Errorf("files %q", names)
	}
	for _, name := range names {
		var b strings.Builder
		if err := WriteItems(&b, "openbsd", files[name]); err != nil || b.String() != want[name] {
			t.Errorf("%s: %v\n%swant\n%s", name, err, b.String(), want[name])
		}
	}
}
