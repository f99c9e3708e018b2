package rebase

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Sizes of the picture, in pixels.
const (
	svgMargin = 20
	svgWidth  = 1200 // of the map, without the margins
	svgText   = 18   // height of a line
	svgBox    = 24   // height of an image
	svgGap    = 10   // below a lane
	svgLetter = 5    // width of a letter of an image's name, about
	svgLabel  = 90   // width of an address
)

// svgStyle: images that overlap show through.
const svgStyle = `<style>
text{font:12px sans-serif}.title{font-weight:bold}.name{font-size:9px;fill:#fff}.address{font-size:10px;fill:#666}
.hole{fill:#ddd}.keep{fill:#4a7dbd}.moved{fill:#3d8b53}.clash{fill:#d33;fill-opacity:.65}.box{stroke:#fff;stroke-width:.5}
</style>
`

// A canvas is an SVG picture that grows downwards.
type canvas struct {
	bytes.Buffer
	y int
}

// WriteSVG draws the map of WriteMap as a picture: grey are the holes, white is
// where a long one was cut. Each image tells its name and addresses when it is
// pointed at.
func (p *Plan) WriteSVG(w io.Writer, o MapOptions) error {
	c := &canvas{y: svgMargin}
	c.legend()
	for _, pic := range p.pictures() {
		c.picture(&pic, o)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d">`+"\n%s%s</svg>\n",
		svgWidth+2*svgMargin, c.y+svgMargin, svgStyle, c.Bytes())
	return err
}

func (c *canvas) legend() {
	x := svgMargin
	for _, entry := range [][2]string{{"keep", "stays"}, {"moved", "moved"}, {"clash", "overlaps another"}, {"hole", "free"}} {
		fmt.Fprintf(c, `<rect class="%s-sample %[1]s" x="%d" y="%d" width="12" height="12"/>`, entry[0], x, c.y)
		c.text("", x+svgText, c.y+11, entry[1])
		x += svgWidth / 8
	}
	c.y += svgText
}

// text writes a line at a place.
func (c *canvas) text(class string, x, y int, text string) {
	fmt.Fprintf(c, `<text class="%s" x="%d" y="%d">%s</text>`+"\n", class, x, y, escape(text))
}

func (c *canvas) picture(pic *picture, o MapOptions) {
	c.y += 2 * svgText
	c.text("title", svgMargin, c.y, pic.machine.String())
	c.y += svgText
	c.addresses(&pic.axis)
	for layer, database := range pic.lanes {
		of := func(marks []mark) []mark {
			return slices.DeleteFunc(slices.Clone(marks), func(m mark) bool { return m.layer != layer })
		}
		before, after := of(pic.before), of(pic.after)
		switch {
		case len(before)+len(after) == 0:
		case layer == 0:
			c.lane("before: "+database, &pic.axis, before, o)
			c.lane("after: "+database, &pic.axis, after, o)
		default: // of another layer, in which nothing moves
			c.lane(database, &pic.axis, after, o)
		}
	}
}

// addresses writes where the parts of the axis begin, as far as there is room.
func (c *canvas) addresses(a *axis) {
	end := 0
	for _, part := range a.parts {
		if x := a.position(part.Low, svgWidth); x >= end {
			c.text("address", svgMargin+x, c.y, fmt.Sprintf("%#x", part.Low))
			end = x + svgLabel
		}
	}
	c.y += svgGap
}

// lane draws the images of one database.
func (c *canvas) lane(title string, a *axis, marks []mark, o MapOptions) {
	c.y += svgText
	c.text("", svgMargin, c.y-5, title)
	for _, part := range a.parts {
		c.box("hole", part, a, "")
	}
	for _, m := range marks {
		class := map[byte]string{'!': "clash", '=': "moved", '#': "keep"}[m.sign()]
		c.box(class+" box", m.Range, a, m.name+" ")
	}
	if o.Names {
		c.names(marks, a)
	}
	c.y += svgBox + svgGap
}

// box draws a range, which tells what it is when it is pointed at.
func (c *canvas) box(class string, r Range, a *axis, name string) {
	x, width := a.extent(r)
	fmt.Fprintf(c, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"><title>%s%v</title></rect>`+"\n",
		class, svgMargin+x, c.y, width, svgBox, escape(name), r)
}

// names writes into each box as much of its name as there is room for, unless
// another name begins there.
func (c *canvas) names(marks []mark, a *axis) {
	end := 0
	for _, m := range marks {
		x, width := a.extent(m.Range)
		if x < end || width < 3*svgLetter {
			continue
		}
		name := m.name[strings.LastIndexByte(m.name, '/')+1:]
		end = x + min(width, svgLetter*len(name))
		fmt.Fprintf(c, `<svg x="%d" y="%d" width="%d" height="%d">`, svgMargin+x, c.y, width, svgBox)
		c.text("name", 2, svgBox/2+3, name)
		c.WriteString("</svg>\n")
	}
}

// extent returns where a range begins in the picture, and how wide it is.
func (a *axis) extent(r Range) (x, width int) {
	x = a.position(r.Low, svgWidth)
	return x, max(1, a.position(r.High-1, svgWidth)-x)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) //nolint:errcheck // a strings.Builder takes everything
	return b.String()
}
