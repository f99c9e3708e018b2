package dialect

import (
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A dialect is one text form. The forms of ports trees have read and render,
// those that can hold a whole list readList and writeList.
//
// To add a dialect: write its split, which cuts any text without loss, and its
// pair of functions, in a file of its own, give it a line in the table below,
// and add lists of it to testdata.
type dialect struct {
	name      string
	condition [2]string                  // brackets of a condition's name before a line
	continued bool                       // a line that ends in a backslash goes on
	walk      bool                       // all directories are listed, each before what it holds
	absolute  bool                       // a name may be absolute, and is outside of the prefix
	split     func(line string, l *Line) // cut a line, newline included
	read      func(r *reader, l *Line, it *Item)
	render    func(w *writer, it *Item) error
	check     func(c *checker, items []Item)
	readList  func(r io.Reader) (*plist.List, error)
	writeList func(w io.Writer, l *plist.List) error
}

// Native is the name of the form that package plist itself reads and writes.
const Native = "native"

// dialects are in the order in which a user may want them.
var dialects []dialect

// init, because the functions in the table look into it.
func init() {
	dialects = []dialect{
		{name: "pkgsrc", condition: [2]string{"${PLIST.", "}"}, split: splitPkgsrc, read: readPkgsrc, render: renderPkgsrc, check: checkPkgsrc},
		{name: "freebsd", condition: [2]string{"%%", "%%"}, absolute: true, split: splitFreeBSD, read: readFreeBSD, render: renderFreeBSD, check: checkFreeBSD},
		{name: "openbsd", walk: true, split: splitOpenBSD, read: readOpenBSD, render: renderOpenBSD, check: checkOpenBSD},
		{name: "mtree", continued: true, split: splitMtree, render: renderMtree, readList: ReadMtree, writeList: WriteMtree},
		{name: Native, split: splitMtree, render: renderNative, readList: plist.ReadNative, writeList: plist.WriteNative},
	}
}

func find(format string) (*dialect, error) {
	for i := range dialects {
		if dialects[i].name == format {
			return &dialects[i], nil
		}
	}
	return nil, fmt.Errorf("unknown packing list format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// Formats returns the names of all text forms.
func Formats() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// Write writes what l packs in the named format; in the native form, all of l.
// Nothing is written if something in l cannot be expressed.
func Write(w io.Writer, format string, l *plist.List) error {
	d, err := find(format)
	if err != nil {
		return err
	}
	if d.writeList != nil {
		return d.writeList(w, l)
	}
	return d.stream(w, d.items(l))
}

// stream writes a capture's items piece by piece. It renders them twice, so that
// nothing is written if one of them can not be expressed.
func (d *dialect) stream(w io.Writer, items iter.Seq[Item]) error {
	for _, to := range []io.Writer{io.Discard, w} {
		var out writer
		var it Item
		for it = range items {
			if err := d.render(&out, &it); err != nil {
				return err
			}
			if len(out.b) < 64<<10 {
				continue
			}
			if _, err := to.Write(out.b); err != nil {
				return err
			}
			out.b = out.b[:0] // no item of a capture takes back the one before
		}
		if _, err := to.Write(out.b); err != nil {
			return err
		}
	}
	return nil
}

func (d *dialect) write(w io.Writer, items []Item) error {
	var out writer
	for i := range items {
		if err := d.render(&out, &items[i]); err != nil {
			return err
		}
	}
	_, err := w.Write(out.b)
	return err
}

// renderNative refuses: a ports tree's list does not say enough of a file.
func renderNative(_ *writer, it *Item) error {
	if it.Kind == KindComment || it.Kind == KindID || it.Kind == KindBlank {
		return nil
	}
	return it.refuse(Native, "its size, time and digest are not known")
}

// WriteItems writes items in the named format, or nothing if it cannot express
// one of them.
func WriteItems(w io.Writer, format string, items []Item) error {
	d, err := find(format)
	if err != nil {
		return err
	}
	return d.write(w, items)
}
