// Package diff3 merges two changes of one text, line by line, as diff3(1) does:
// S. Khanna, K. Kunal, B. C. Pierce, "A Formal Investigation of Diff3" (2007).
package diff3

import "strings"

// Merge returns the text with the changes of both sides, and how many places both
// changed in different ways. There it has both, between markers as merge(1)
// writes them.
func Merge(base, mine, theirs string) (merged string, conflicts int) {
	m := &merger{base: lines(base), mine: lines(mine), theirs: lines(theirs)}
	toMine, toTheirs := match(m.base, m.mine), match(m.base, m.theirs)
	for k := range m.base {
		if a, b := toMine[k], toTheirs[k]; a >= 0 && b >= 0 {
			m.chunk(k, a, b)
			m.out.WriteString(m.base[k])
			m.i, m.a, m.b = k+1, a+1, b+1
		}
	}
	m.chunk(len(m.base), len(m.mine), len(m.theirs))
	return m.out.String(), m.conflicts
}

// lines splits a text after each newline.
func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

// A merger is between two lines that all three texts have.
type merger struct {
	base, mine, theirs []string
	i, a, b            int // how much of each is merged
	out                strings.Builder
	conflicts          int
}

// chunk merges what lies before the next line that all have.
func (m *merger) chunk(i, a, b int) {
	base, mine, theirs := join(m.base[m.i:i]), join(m.mine[m.a:a]), join(m.theirs[m.b:b])
	switch {
	case mine == theirs, theirs == base:
		m.out.WriteString(mine)
	case mine == base:
		m.out.WriteString(theirs)
	default:
		m.conflicts++
		m.out.WriteString("<<<<<<< mine\n" + whole(mine) + "=======\n" + whole(theirs) + ">>>>>>> package\n")
	}
}

func join(lines []string) string { return strings.Join(lines, "") }

// whole ends a text with a newline, so that a marker begins a line.
func whole(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return text + "\n"
	}
	return text
}

// maxTable bounds the work of match. Two texts that need more, some thousand lines
// each between their first and last difference, are compared there as a whole.
const maxTable = 16 << 20

// match finds a longest common subsequence: for each line of a the one of b that
// is the same, or -1.
func match(a, b []string) []int {
	to := make([]int, len(a))
	start, end := 0, 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		to[start] = start
		start++
	}
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
		to[len(a)-end] = len(b) - end
	}
	for i := start; i < len(a)-end; i++ {
		to[i] = -1
	}
	for _, p := range common(a[start:len(a)-end], b[start:len(b)-end]) {
		to[start+p[0]] = start + p[1]
	}
	return to
}

// common returns the pairs of a longest common subsequence, by the table of those
// of all pairs of tails.
func common(a, b []string) (pairs [][2]int) {
	if (len(a)+1)*(len(b)+1) > maxTable {
		return nil
	}
	width := len(b) + 1
	longest := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				longest[i*width+k] = longest[(i+1)*width+k+1] + 1
			} else {
				longest[i*width+k] = max(longest[(i+1)*width+k], longest[i*width+k+1])
			}
		}
	}
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i] == b[k]:
			pairs = append(pairs, [2]int{i, k})
			i, k = i+1, k+1
		case longest[(i+1)*width+k] >= longest[i*width+k+1]:
			i++
		default:
			k++
		}
	}
	return pairs
}
