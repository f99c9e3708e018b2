package diff3

import "strings"

// A Hunk is a place where two texts differ: Count lines of the one, after the first
// At, stand where the other has Text.
type Hunk struct {
	At, Count int
	Text      string
}

// Diff returns what to do to the lines of text to get other.
func Diff(text, other string) (hunks []Hunk) {
	a, b := lines(text), lines(other)
	i, k := 0, 0
	chunk := func(to, also int) {
		if i < to || k < also {
			hunks = append(hunks, Hunk{i, to - i, join(b[k:also])})
		}
	}
	for at, also := range match(a, b) {
		if also >= 0 {
			chunk(at, also)
			i, k = at+1, also+1
		}
	}
	chunk(len(a), len(b))
	return hunks
}

// Apply is the inverse of Diff: it returns other. It reports whether the text has
// the lines that hunks tell of, which are in the order of At.
func Apply(text string, hunks []Hunk) (string, bool) {
	a := lines(text)
	var out strings.Builder
	i := 0
	for _, h := range hunks {
		if h.At < i || h.Count < 0 || h.At > len(a) || h.Count > len(a)-h.At {
			return "", false
		}
		out.WriteString(join(a[i:h.At]) + h.Text)
		i = h.At + h.Count
	}
	return out.String() + join(a[i:]), true
}

// Show writes the places where two texts differ as people read them: the lines that
// go with a minus, those that come with a plus, as diff(1) does in its unified form,
// without context. From the first limit lines on it is cut short.
func Show(text, other string, limit int) string {
	a := lines(text)
	var out []string
	for _, h := range Diff(text, other) {
		for _, l := range a[h.At : h.At+h.Count] {
			out = append(out, "-"+strings.TrimSuffix(l, "\n"))
		}
		for _, l := range lines(h.Text) {
			out = append(out, "+"+strings.TrimSuffix(l, "\n"))
		}
	}
	if len(out) > limit {
		out = append(out[:limit], "...")
	}
	return strings.Join(out, "\n")
}
