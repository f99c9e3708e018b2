package rebase

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A mark is one image on an address map.
type mark struct {
	Range
	name  string
	layer int
	moved bool // has not the place it had
	clash bool // overlaps another image
}

// marks returns the map of all images as they are now: those placed by the plan
// where it puts them, the others where they are.
func (l *layout) marks() []mark {
	marks := make([]mark, 0, len(l.items))
	for _, it := range l.items {
		m := mark{Range: it.exact, name: it.name, layer: it.layer}
		m.moved = it.placed && it.subject != nil && it.base != it.subject.image.Base
		marks = append(marks, m)
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Or(cmp.Compare(a.Low, b.Low), cmp.Compare(a.name, b.name)) })
	for i := range marks {
		for j := i + 1; j < len(marks) && marks[j].Low < marks[i].High; j++ {
			marks[i].clash, marks[j].clash = true, true
		}
	}
	return marks
}

// MapOptions say how to draw a map.
type MapOptions struct {
	Names bool // tell each image's name
}

// A picture is the map of one machine, before and after, on one axis.
type picture struct {
	machine       Machine
	lanes         []string // of the databases
	before, after []mark
	axis          axis
}

func (p *Plan) pictures() []picture {
	lanes := []string{p.policy.Database.Path}
	for _, db := range p.policy.Respect {
		lanes = append(lanes, db.Path)
	}
	var pictures []picture
	for _, l := range p.layouts {
		if len(l.items) > 0 {
			after := l.marks()
			pictures = append(pictures, picture{l.machine, lanes, l.before, after, newAxis(l.before, after)})
		}
	}
	return pictures
}

// An axis puts addresses on a line, long holes cut short: between what is taken
// there may be terabytes.
type axis struct {
	parts []Range // what is taken, with the short holes between
	at    []uint64
	total uint64
}

// longHole is the number of slots from which on a hole is drawn as one of gap
// slots.
const (
	longHole = 64
	gap      = 8
)

func newAxis(maps ...[]mark) axis {
	var taken space
	for _, marks := range maps {
		for _, m := range marks {
			taken.claim(m.Range)
		}
	}
	var a axis
	for _, r := range taken.taken {
		last := len(a.parts) - 1
		if last >= 0 && r.Low-a.parts[last].High < longHole*Granularity {
			a.total += r.High - a.parts[last].High
			a.parts[last].High = r.High
			continue
		}
		if last >= 0 {
			a.total += gap * Granularity
		}
		a.parts, a.at = append(a.parts, r), append(a.at, a.total)
		a.total += r.High - r.Low
	}
	return a
}

// position returns where an address of some part lies, scaled to a width.
func (a *axis) position(addr uint64, width int) int {
	i, found := slices.BinarySearchFunc(a.parts, addr, func(r Range, addr uint64) int { return cmp.Compare(r.Low, addr) })
	if !found {
		i--
	}
	return int(float64(a.at[i]+addr-a.parts[i].Low) * float64(width) / float64(a.total))
}

// WriteMap draws the address map before and after the plan as text: a lane for
// each database, "#" where an image lies, "=" one that is moved, "!" a collision,
// "." a hole; long holes are cut short.
func (p *Plan) WriteMap(w io.Writer, o MapOptions) error {
	var b bytes.Buffer
	for _, pic := range p.pictures() {
		fmt.Fprintf(&b, "%v %s\n", pic.machine, pic.ends())
		pic.writeLanes(&b, "before", pic.before)
		pic.writeLanes(&b, "after", pic.after)
		if o.Names {
			for _, m := range pic.after {
				fmt.Fprintf(&b, "  %c %#012x %s\n", m.sign(), m.Low, m.name)
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (pic *picture) ends() string {
	parts := pic.axis.parts
	return Range{parts[0].Low, parts[len(parts)-1].High}.String()
}

func (m *mark) sign() byte {
	switch {
	case m.clash:
		return '!'
	case m.moved:
		return '='
	}
	return '#'
}

const mapWidth = 72

func (pic *picture) writeLanes(b *bytes.Buffer, when string, marks []mark) {
	for layer, name := range pic.lanes {
		lane := []byte(strings.Repeat(".", mapWidth))
		for _, m := range marks {
			if m.layer != layer {
				continue
			}
			from := min(pic.axis.position(m.Low, mapWidth), mapWidth-1)
			to := max(from+1, pic.axis.position(m.High-1, mapWidth))
			for i := from; i < to; i++ {
				if lane[i] != '!' {
					lane[i] = m.sign()
				}
			}
		}
		fmt.Fprintf(b, "  %-6s |%s| %s\n", when, lane, name)
	}
}
