package dialect

import (
	"fmt"
	"io"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A dialect turns items into its lines. It appends whole lines to b.
type dialect struct {
	name   string
	render func(b []byte, it *Item) ([]byte, error)
}

// Native is the name of the form that package plist itself reads and writes.
const Native = "native"

var dialects = []dialect{
	{name: "pkgsrc", render: renderPkgsrc},
}

// Formats returns the names of all text forms.
func Formats() []string {
	names := []string{Native}
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// Write writes what l packs in the named format; in the native form, all of l.
// Nothing is written if something in l cannot be expressed.
func Write(w io.Writer, format string, l *plist.List) error {
	if format == Native {
		return plist.WriteNative(w, l)
	}
	for _, d := range dialects {
		if d.name == format {
			return d.write(w, Items(l))
		}
	}
	return fmt.Errorf("unknown packing list format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

func (d *dialect) write(w io.Writer, items []Item) error {
	var b []byte
	var err error
	for i := range items {
		if b, err = d.render(b, &items[i]); err != nil {
			return err
		}
	}
	_, err = w.Write(b)
	return err
}
