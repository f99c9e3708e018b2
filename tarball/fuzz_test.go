package tarball

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

// FuzzReader reads anything, after a list if text is not empty. What is taken for
// an archive must be written as one that gives the same list and content.
func FuzzReader(f *testing.F) {
	for c := range compressions {
		f.Add([]byte{}, small(f, Compression(c)), false)
	}
	f.Add([]byte{}, write(f, list(), memTree{}, Options{Compression: None, Full: true}), true)
	r, err := NewReader(bytes.NewReader(small(f, None)))
	check(f, err)
	var text bytes.Buffer
	check(f, plist.WriteNative(&text, r.list))
	f.Add(text.Bytes(), small(f, None)[r.body:], false)
	f.Fuzz(func(t *testing.T, text, input []byte, full bool) {
		if n := int64(len(text)); n > 0 {
			input = slices.Concat(listMember(n, full).appendHeader(nil), text, zeros[:padding(n)], input)
		}
		r, err := NewReader(bytes.NewReader(input))
		if err != nil {
			return
		}
		defer shut(t, r)
		if dataSize(r.List()) > 1<<20 {
			return
		}
		o := Options{Compression: None, Full: r.Full()}
		var first bytes.Buffer
		if Write(&first, r.List(), r, o) != nil || r.Finish() != nil {
			return
		}
		l, tree, err := read(bytes.NewReader(first.Bytes()))
		check(t, err)
		if !slices.EqualFunc(l.Entries, r.List().Entries, func(a, b plist.Entry) bool { return a.Same(&b) }) && !o.Full {
			t.Errorf("the list came back as %v, was %v", l.Entries, r.List().Entries)
		}
		for path, want := range tree {
			file, err := r.Open(path)
			check(t, err)
			got, err := io.ReadAll(file)
			check(t, err)
			if string(got) != want {
				t.Errorf("%q came back as %q, was %q", path, want, got)
			}
		}
	})
}

func dataSize(l *plist.List) (n int64) {
	for _, e := range l.Entries {
		n += min(e.Size, 1<<30)
	}
	return n
}

// FuzzWriteRead writes any list with content made from its paths, some of it
// sparse, and reads it back by this package and by the standard library.
func FuzzWriteRead(f *testing.F) {
	for _, l := range []*plist.List{
		list(),
		list(dir("."), dir("d"), regular("d/a", "hello"), link("d/l", "d/a", "hello"), symlink("d/s", "a"), deletion("e")),
		list(regular(`\x`, "x"), regular("b:c", ""), regular(strings.Repeat("n", 101), strings.Repeat("x", 9999)), symlink("s", strings.Repeat("\xff", 200))),
		list(classed(plist.ClassNoise, regular("a", "x")), link("b", "a", "x"), link("c", "a", "x")),
	} {
		var text bytes.Buffer
		check(f, plist.WriteNative(&text, l))
		f.Add(text.Bytes(), uint64(5), false)
		f.Add(text.Bytes(), uint64(5), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, full bool) {
		l, err := plist.ReadNative(bytes.NewReader(text))
		if err != nil || dataSize(l) > 1<<20 {
			return
		}
		tree := madeTree{l, seed}
		o := Options{Compression: None, Full: full}
		var archive bytes.Buffer
		if err := Write(&archive, l, tree, o); err != nil {
			if !strings.Contains(err.Error(), "place of the packing list") {
				t.Errorf("write: %v", err)
			}
			return
		}
		r, err := NewReader(bytes.NewReader(archive.Bytes()))
		check(t, err)
		defer shut(t, r)
		if again := write(t, r.List(), r, o); !bytes.Equal(again, archive.Bytes()) {
			t.Error("written again it is not the same")
		}
		check(t, r.Finish())
		compareStandard(t, r, archive.Bytes())
	})
}

// compareStandard compares what the standard library reads with r.
func compareStandard(t *testing.T, r *Reader, archive []byte) {
	std := tar.NewReader(bytes.NewReader(archive))
	_, err := std.Next() // the list
	check(t, err)
	for i := range r.list.Entries {
		e := &r.list.Entries[i]
		if !isMember(e, r.full) {
			continue
		}
		h, err := std.Next()
		check(t, err)
		m := &member{Entry: e}
		if h.Name != m.name() || h.Linkname != m.linkname() || h.Uid != int(e.UID) || h.Gid != int(e.GID) ||
			uint32(h.Mode) != plist.UnixPerm(e.Mode) || !h.ModTime.Equal(e.ModTime) || h.Typeflag != m.typeflag() {
			t.Fatalf("the standard library reads %+v, want %+v", h, e)
		}
		if !e.HasContent() {
			continue
		}
		f, err := r.Open(e.Path)
		check(t, err)
		want, err := io.ReadAll(f)
		check(t, err)
		if got, err := io.ReadAll(std); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: the standard library reads %q, %v, want %q", e.Path, got, err, want)
		}
	}
	if _, err := std.Next(); err != io.EOF {
		t.Errorf("after the last member: %v", err)
	}
}

// madeTree makes content up: blocks of zeros where the bits of seed say so.
type madeTree struct {
	list *plist.List
	seed uint64
}

func (m madeTree) Open(path string) (plist.File, error) {
	e := m.list.Find(path)
	b := make([]byte, e.Size)
	for i := range b {
		if m.seed>>(uint(i)/sparseBlock%64)&1 == 0 {
			b[i] = path[i%len(path)] | 1
		}
	}
	data := wholly(e.Size)
	if len(path)&1 == 0 {
		data = appendData(nil, b, 0)
	}
	return madeFile{bytes.NewReader(b), data}, nil
}

type madeFile struct {
	*bytes.Reader
	data []Extent
}

func (madeFile) Close() error { return nil }

func (m madeFile) Extents() []Extent { return m.data }
