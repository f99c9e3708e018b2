package rebase

import (
	"bytes"
	"cmp"
	"encoding/xml"
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

// Sizes of the drawing, in pixels.
const (
	svgWidth  = 1200
	svgLane   = 28
	svgMargin = 20
	svgHead   = 24
)

// WriteSVG draws the same map as a picture. Each image tells its name and
// addresses when it is pointed at.
func (p *Plan) WriteSVG(w io.Writer, o MapOptions) error {
	pictures := p.pictures()
	lanes := 0
	for _, pic := range pictures {
		lanes += 2 * len(pic.lanes)
	}
	height := 2*svgMargin + len(pictures)*svgHead + lanes*(svgLane+svgHead)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", svgWidth+2*svgMargin, height)
	b.WriteString("<style>.hole{fill:#eee}.keep{fill:#4a7dbd}.moved{fill:#4aa564}.clash{fill:#d33}rect{stroke:#fff;stroke-width:.5}</style>\n")
	y := svgMargin
	for _, pic := range pictures {
		y += svgHead
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%v %s</text>`+"\n", svgMargin, y-8, pic.machine, pic.ends())
		for _, side := range []struct {
			when  string
			marks []mark
		}{{"before", pic.before}, {"after", pic.after}} {
			for layer, name := range pic.lanes {
				fmt.Fprintf(&b, `<text x="%d" y="%d">%s: %s</text>`+"\n", svgMargin, y+16, side.when, escape(name))
				y += svgHead
				pic.writeSVGLane(&b, y, layer, side.marks, o)
				y += svgLane
			}
		}
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (pic *picture) writeSVGLane(b *bytes.Buffer, y, layer int, marks []mark, o MapOptions) {
	fmt.Fprintf(b, `<rect class="hole" x="%d" y="%d" width="%d" height="%d"/>`+"\n", svgMargin, y, svgWidth, svgLane-4)
	for _, m := range marks {
		if m.layer != layer {
			continue
		}
		x := pic.axis.position(m.Low, svgWidth)
		width := max(1, pic.axis.position(m.High-1, svgWidth)-x)
		class := map[byte]string{'!': "clash", '=': "moved", '#': "keep"}[m.sign()]
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"><title>%s %v</title></rect>`+"\n",
			class, svgMargin+x, y, width, svgLane-4, escape(m.name), m.Range)
		if o.Names {
			fmt.Fprintf(b, `<text x="%d" y="%d" font-size="8">%s</text>`+"\n", svgMargin+x+2, y+14, escape(m.name[strings.LastIndexByte(m.name, '/')+1:]))
		}
	}
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) //nolint:errcheck // a strings.Builder takes everything
	return b.String()
}
