package rebase

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// A svgElement is what of a picture the test looks at.
type svgElement struct {
	X      int          `xml:"x,attr"`
	Y      int          `xml:"y,attr"`
	Width  int          `xml:"width,attr"`
	Height int          `xml:"height,attr"`
	Class  string       `xml:"class,attr"`
	Text   []svgElement `xml:"text"`
	Rect   []svgElement `xml:"rect"`
	Inner  []svgElement `xml:"svg"` // an inner svg cuts off what leaves it
}

// TestSVG draws images with long names, each of which collides with another one.
func TestSVG(t *testing.T) {
	b := newBed(t)
	var names []string
	for i := range 40 {
		name := fmt.Sprintf("/a&b/a rather long name, so that it does not fit-%02d.dll", i)
		b.write(map[string]rebasetest.Options{name: {Machine: rebasetest.AMD64, Base: defaultBase64 + uint64(i/2)*0x100000, Pages: 1 + i/2%2*200}})
		names = append(names, name)
	}
	plan := b.plan(Policy{}, names...)
	var text bytes.Buffer
	if err := plan.WriteSVG(&text, MapOptions{Names: true}); err != nil {
		t.Fatal(err)
	}
	var picture svgElement
	if err := xml.Unmarshal(text.Bytes(), &picture); err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, e := range append(picture.Rect, picture.Inner...) {
		count[e.Class]++
		if e.X < svgMargin || e.Width < 1 || e.X+e.Width > svgMargin+svgWidth || e.Y+e.Height > picture.Height {
			t.Errorf("outside the picture: %+v", e)
		}
	}
	if count["clash box"] != 40 || count["moved box"] != 40 || len(picture.Inner) < 15 {
		t.Errorf("drawn were %v and %d names", count, len(picture.Inner))
	}
	for _, e := range picture.Text {
		if e.Class == "name" {
			t.Errorf("a name that is not cut off: %+v", e)
		}
	}
	for i, name := range picture.Inner {
		inside := false
		for _, box := range picture.Rect {
			inside = inside || box.X == name.X && box.Y == name.Y && name.Width <= box.Width
		}
		if !inside || len(name.Text) != 1 {
			t.Errorf("a name without its box: %+v", name)
		}
		for _, other := range picture.Inner[:i] {
			if name.Y == other.Y && name.X == other.X {
				t.Errorf("two names on each other: %+v, %+v", name, other)
			}
		}
	}
}
