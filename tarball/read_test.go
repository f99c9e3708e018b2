package tarball

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// stream hides that a reader can seek.
type stream struct{ io.Reader }

func TestRoundTrip(t *testing.T) {
	l := list(dir("d"), regular("d/a", "hello"), regular("d/empty", ""), link("d/l", "d/a", "hello"), symlink("d/s", "a"), deletion("e"))
	l.Notes = []plist.Note{{Kind: plist.NoteHole, Text: "nobody watched /net"}}
	tree := memTree{"d/a": "hello", "d/empty": ""}
	for c := range compressions {
		for _, full := range []bool{false, true} {
			o := Options{Compression: Compression(c), Full: full}
			archive := write(t, l, tree, o)
			for _, r := range []io.Reader{bytes.NewReader(archive), stream{bytes.NewReader(archive)}, iotest.OneByteReader(bytes.NewReader(archive))} {
				back, content, err := read(r)
				check(t, err)
				if again := write(t, back, content, o); !bytes.Equal(again, archive) {
					t.Errorf("%v, full %v: written again it is not the same", o.Compression, full)
				}
			}
		}
	}
}

// TestStreams gives a Reader to Write.
func TestStreams(t *testing.T) {
	l := list(regular("a", "1"), regular("b", "22"), classed(plist.ClassNoise, regular("c", "333")), regular("d", "4444"))
	tree := memTree{"a": "1", "b": "22", "c": "333", "d": "4444"}
	full, err := NewReader(stream{bytes.NewReader(write(t, l, tree, Options{Full: true}))})
	check(t, err)
	if !full.Full() {
		t.Error("Full was not kept")
	}
	got := write(t, full.List(), full, Options{}) // passes over c
	if want := write(t, l, tree, Options{}); !bytes.Equal(got, want) {
		t.Error("a package made of a saved capture is not the package of the capture")
	}
	check(t, full.Finish())
	check(t, full.Close())
}

// TestClassifyAgain gives another class to the first name of a hard link, whose
// content is then needed at the second.
func TestClassifyAgain(t *testing.T) {
	l := list(regular("a", "hard"), regular("b", "x"), link("c", "a", "hard"))
	tree := memTree{"a": "hard", "b": "x", "c": "hard"}
	r, err := NewReader(bytes.NewReader(write(t, l, tree, Options{Full: true})))
	check(t, err)
	again := r.List()
	again.Entries[0].Class = plist.ClassNoise
	again.ClampTimes(time.Unix(5, 0))
	archive := write(t, again, r, Options{Compression: None})
	if got, want := listing(t, archive), []string{"0 .sandbox-install.plist", "0 b  x", "0 c  hard"}; !slices.Equal(got, want) {
		t.Errorf("members are %q, want %q", got, want)
	}
}

func TestOpen(t *testing.T) {
	l := list(dir("d"), regular("d/a", "hello"), regular("d/b", "there"), link("d/l", "d/a", "hello"), classed(plist.ClassNoise, regular("n", "")))
	archive := write(t, l, memTree{"d/a": "hello", "d/b": "there"}, Options{})
	r, err := NewReader(bytes.NewReader(archive))
	check(t, err)
	defer shut(t, r)
	for _, name := range []string{"", "d", "d/none", "n", ListName, "../d/a", "/d/a"} {
		if _, err := r.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %q: error is %v", name, err)
		}
	}
	a, err := r.Open("d/a")
	check(t, err)
	check(t, iotest.TestReader(stream{a}, []byte("hello")))
	b, err := r.Open("d/b")
	check(t, err)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading the file before: error is %v", err)
	}
	check(t, b.Close())
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading a closed file: error is %v", err)
	}
	b, err = r.Open("d/b")
	check(t, err)
	_, err = r.Open("d/a")
	check(t, err)
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading a file after going back: error is %v", err)
	}
	for range 2 { // backwards, twice the same, and after the end
		l, err := r.Open("d/l")
		check(t, err)
		content, err := io.ReadAll(l)
		check(t, err)
		if string(content) != "hello" {
			t.Errorf("d/l holds %q", content)
		}
		check(t, r.Finish())
	}
}

// TestSeek passes over parts of a sparse file.
func TestSeek(t *testing.T) {
	content := strings.Repeat("\x00", 5000) + strings.Repeat("x", 5000) + strings.Repeat("\x00", 5000)
	l := list(regular("f", content), regular("g", "1"))
	tree := memTree{"f": content, "g": "1"}
	archive := write(t, l, holedTree{tree, "f", []Extent{{4096, 8192}}}, Options{})
	r, err := NewReader(bytes.NewReader(archive))
	check(t, err)
	defer shut(t, r)
	for _, n := range []int64{0, 1, 4096, 4999, 5000, 9000, 12288, 13000, 15000} {
		f, err := r.Open("f")
		check(t, err)
		at, err := f.(Sparse).Seek(n, io.SeekCurrent)
		check(t, err)
		rest, err := io.ReadAll(f)
		check(t, err)
		if at != n || string(rest) != content[n:] {
			t.Errorf("after %d bytes: at %d, %d bytes left", n, at, len(rest))
		}
	}
	f, err := r.Open("f")
	check(t, err)
	for _, bad := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekCurrent}, {15001, io.SeekCurrent}, {0, io.SeekStart}, {0, io.SeekEnd}} {
		if _, err := f.(Sparse).Seek(bad.offset, bad.whence); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("seek %v: error is %v", bad, err)
		}
	}
	_, err = f.(Sparse).Seek(6000, io.SeekCurrent) // and then go on to the next file
	check(t, err)
	_, err = r.Open("g")
	check(t, err)
	check(t, r.Finish())
}

func TestOpenStreamBackwards(t *testing.T) {
	l := list(regular("a", "1"), regular("b", "2"))
	r, err := NewReader(stream{bytes.NewReader(write(t, l, memTree{"a": "1", "b": "2"}, Options{}))})
	check(t, err)
	defer shut(t, r)
	_, err = r.Open("b")
	check(t, err)
	if _, err := r.Open("a"); err == nil || !strings.Contains(err.Error(), "only be read once") {
		t.Errorf("error is %v", err)
	}
	check(t, r.Finish())
}

// TestOffset reads an archive that begins in the middle of a file.
func TestOffset(t *testing.T) {
	l := list(regular("a", "1"), regular("b", "2"))
	name := filepath.Join(t.TempDir(), "x")
	check(t, os.WriteFile(name, append([]byte("garbage"), write(t, l, memTree{"a": "1", "b": "2"}, Options{})...), 0o666))
	f, err := os.Open(name)
	check(t, err)
	defer shut(t, f)
	_, err = f.Seek(int64(len("garbage")), io.SeekStart)
	check(t, err)
	r, err := NewReader(f)
	check(t, err)
	defer shut(t, r)
	for _, name := range []string{"b", "a"} {
		_, err := r.Open(name)
		check(t, err)
	}
}

func TestNotTarball(t *testing.T) {
	other := (&member{Entry: &plist.Entry{Op: plist.OpAdd, Path: "x", Mode: 0o644, ModTime: time.Unix(0, 0)}}).appendHeader(nil)
	huge := listMember(0, false).appendHeader(nil)
	copy(huge[typeField.off:], "x")
	for name, input := range map[string][]byte{
		"empty": nil, "text": []byte("#mtree"), "zeros": make([]byte, 10240), "another tar": append(other, make([]byte, 1024)...),
		"an extended header alone": huge,
		"a list of no size":        listMember(-1, false).appendHeader(nil),
	} {
		for c, row := range compressions {
			var b bytes.Buffer
			z, err := row.compress(&b)
			check(t, err)
			_, err = z.Write(input)
			check(t, err)
			check(t, z.Close())
			if _, err := NewReader(&b); !errors.Is(err, ErrNotTarball) && err != io.ErrUnexpectedEOF {
				t.Errorf("%s, %v: error is %v", name, Compression(c), err)
			}
		}
	}
}

// forge makes an archive of members that its list does not have.
func forge(t *testing.T, l *plist.List, tree memTree, members ...plist.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := compressNone(&b)
	check(t, err)
	a := &archiver{Writer: bufio.NewWriter(z), tree: tree}
	check(t, a.list(l, false))
	for _, e := range members {
		if e.HasContent() {
			check(t, a.file(&member{Entry: &e}))
		} else {
			check(t, a.writeHeader(&member{Entry: &e}))
		}
	}
	check(t, a.zeros(2*blockSize))
	check(t, a.Flush())
	return b.Bytes()
}

func TestForged(t *testing.T) {
	x, y, s, d := regular("x", "1"), regular("y", "22"), symlink("s", "x"), dir("d")
	tree := memTree{"x": "1", "y": "22", "../x": "1", "/x": "1", "d/../../x": "1", ListName: ""}
	with := func(e plist.Entry, change func(*plist.Entry)) plist.Entry {
		change(&e)
		return e
	}
	for _, tt := range []struct {
		name    string
		entries []plist.Entry
		members []plist.Entry
		want    string
	}{
		{"missing", []plist.Entry{x, y}, []plist.Entry{x}, "y: is in the list, but the archive ends before it"},
		{"missing before", []plist.Entry{x, y}, []plist.Entry{y}, `x: in its place the archive has "y"`},
		{"more", []plist.Entry{x}, []plist.Entry{x, y}, `member "y" is not in the list`},
		{"twice", []plist.Entry{x, y}, []plist.Entry{x, x, y}, `y: in its place the archive has "x"`},
		{"twice at the end", []plist.Entry{x}, []plist.Entry{x, x}, `member "x" is not in the list`},
		{"other order", []plist.Entry{x, y}, []plist.Entry{y, x}, `x: in its place the archive has "y"`},
		{"the list again", []plist.Entry{x}, []plist.Entry{x, regular(ListName, "")}, `".sandbox-install.plist" is not in the list`},
		{"absolute", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Path = "/x" })}, `x: in its place the archive has "/x"`},
		{"outside", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Path = "../x" })}, `x: in its place the archive has "../x"`},
		{"unclean", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Path = "d/../../x" })}, `x: in its place the archive has "d/../../x"`},
		{"deleted", []plist.Entry{deletion("x")}, []plist.Entry{x}, `member "x" is not in the list`},
		{"not packed", []plist.Entry{classed(plist.ClassNoise, x)}, []plist.Entry{x}, `member "x" is not in the list`},
		{"size", []plist.Entry{with(x, func(e *plist.Entry) { e.Size = 5 })}, []plist.Entry{x}, "do not agree in size"},
		{"type", []plist.Entry{d}, []plist.Entry{with(s, func(e *plist.Entry) { e.Path = "d" })}, `in its place the archive has "d"`},
		{"type of file", []plist.Entry{x}, []plist.Entry{with(s, func(e *plist.Entry) { e.Path = "x" })}, "do not agree in type"},
		{"mode", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Mode |= fs.ModeSetuid })}, "do not agree in mode"},
		{"symlink", []plist.Entry{s}, []plist.Entry{with(s, func(e *plist.Entry) { e.Link = "/etc" })}, "do not agree in link"},
		{"hard link", []plist.Entry{x, link("y", "x", "1")}, []plist.Entry{x, link("y", "/etc/shadow", "1")}, "do not agree in link"},
		{"owner", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.UID = 5 })}, "do not agree in owner"},
		{"time", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.ModTime = time.Unix(5, 0) })}, "do not agree in time"},
		{"attribute", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Xattrs = map[string]string{"user.x": ""} })}, "do not agree in attributes"},
		{"long attribute", []plist.Entry{x}, []plist.Entry{with(x, func(e *plist.Entry) { e.Xattrs = map[string]string{"user.x": strings.Repeat("x", 9999)} })}, "its header is damaged"},
	} {
		_, _, err := read(bytes.NewReader(forge(t, list(tt.entries...), tree, tt.members...)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.want)
		}
	}
}

// small is an archive with all that an archive can hold.
func small(t testing.TB, c Compression) []byte {
	l := list(dir("d"), regular("d/a", "hello"), link("d/l", "d/a", "hello"), symlink("d/s", "a"), regular("sparse", strings.Repeat("\x00", 5000)))
	l.Entries[4].Xattrs = map[string]string{"user.x": "y"}
	tree := memTree{"d/a": "hello", "sparse": strings.Repeat("\x00", 5000)}
	return write(t, l, holedTree{tree, "sparse", nil}, Options{Compression: c})
}

// holedTree is a Tree with one sparse file.
type holedTree struct {
	memTree
	sparse string
	data   []Extent
}

func (h holedTree) Open(path string) (plist.File, error) {
	if path == h.sparse {
		return madeFile{bytes.NewReader([]byte(h.memTree[path])), h.data}, nil
	}
	return h.memTree.Open(path)
}

// TestCut reads every beginning of an archive.
func TestCut(t *testing.T) {
	for c := range compressions {
		archive := small(t, Compression(c))
		for n := range archive {
			if _, _, err := read(bytes.NewReader(archive[:n])); err == nil {
				t.Errorf("%v cut to %d of %d bytes was taken", Compression(c), n, len(archive))
			}
		}
	}
}

// TestCutList cuts a list between two lines, where it looks whole.
func TestCutList(t *testing.T) {
	l := list(regular("a", ""), regular("b", ""))
	var text bytes.Buffer
	check(t, plist.WriteNative(&text, l))
	l.Name += strings.Repeat("x", int(padding(int64(text.Len())))) // no padding follows
	archive := write(t, l, memTree{"a": "", "b": ""}, Options{Compression: None})
	if _, err := NewReader(bytes.NewReader(archive[:bytes.Index(archive, []byte("./b op"))])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error is %v", err)
	}
}

// TestNotPacked opens what a forged list describes although it is not archived.
func TestNotPacked(t *testing.T) {
	r, err := NewReader(bytes.NewReader(forge(t, list(classed(plist.ClassNoise, regular("x", "1"))), nil)))
	check(t, err)
	defer shut(t, r)
	if _, err := r.Open("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	check(t, r.Finish())
}

// TestMore reads an archive with something after it.
func TestMore(t *testing.T) {
	for c := range compressions {
		for _, tail := range []string{"x", "\x00", strings.Repeat("\x00", 512), "\x28\xb5\x2f\xfd", "\x1f\x8b"} {
			archive := append(small(t, Compression(c)), tail...)
			if _, _, err := read(bytes.NewReader(archive)); err == nil {
				t.Errorf("%v with %q after it was taken", Compression(c), tail)
			}
		}
	}
}

// TestFlipped changes each byte that the list does not fix by itself: all but the
// list's text and the content of files.
func TestFlipped(t *testing.T) {
	archive := small(t, None)
	_, content, err := read(bytes.NewReader(archive))
	check(t, err)
	free := bytes.Index(archive, []byte("hello"))
	begin := bytes.Index(archive, []byte("#mtree"))
	end := bytes.LastIndex(archive, []byte("op=add")) // in the last line of the list
	end += bytes.IndexByte(archive[end:], '\n') + 1
	for i := range archive {
		if i >= begin && i < end || i >= free && i < free+len("hello") {
			continue
		}
		bad := slices.Clone(archive)
		bad[i] ^= 0x41
		if _, got, err := read(bytes.NewReader(bad)); err == nil {
			t.Fatalf("with byte %d of %d (%q) changed the archive was taken: %q, want %q", i, len(archive), archive[i], got, content)
		}
	}
}
