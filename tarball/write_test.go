package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// members are what the standard library finds in an archive, a line each.
func listing(t *testing.T, archive []byte) (lines []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return lines
		}
		check(t, err)
		content, err := io.ReadAll(r)
		check(t, err)
		if h.Name == ListName {
			content = nil
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%c %s %s %s", h.Typeflag, h.Name, h.Linkname, content)))
	}
}

func TestMembers(t *testing.T) {
	l := list(
		dir("bin"),
		classed(plist.ClassNoise, regular("bin/a", "hard")),
		link("bin/b", "bin/a", "hard"),
		deletion("bin/c"),
		link("bin/d", "bin/a", "hard"),
		classed(plist.ClassOutside, symlink("bin/e", "b")),
		plist.Entry{Op: plist.OpAdd, Path: "bin/f", Mode: fs.ModeSocket, ModTime: time.Unix(1, 0)},
		regular("bin/g", "plain"),
		symlink("bin/h", "g"),
		plist.Entry{Op: plist.OpModify, Path: "bin/i", Class: plist.ClassShared}, // only mentioned
	)
	tree := memTree{"bin/a": "hard", "bin/b": "hard", "bin/g": "plain"}
	for _, tt := range []struct {
		full bool
		want []string
	}{
		{false, []string{"0 .sandbox-install.plist", "5 bin/", "0 bin/b  hard", "1 bin/d bin/b", "0 bin/g  plain", "2 bin/h g"}},
		{true, []string{"0 .sandbox-install.plist", "5 bin/", "0 bin/a  hard", "1 bin/b bin/a", "1 bin/d bin/a", "2 bin/e b", "0 bin/g  plain", "2 bin/h g"}},
	} {
		var done []int
		archive := write(t, l, tree, Options{Compression: None, Full: tt.full, Progress: func(n int) { done = append(done, n) }})
		if got := listing(t, archive); !slices.Equal(got, tt.want) {
			t.Errorf("full %v: members are\n%q, want\n%q", tt.full, got, tt.want)
		}
		if n := len(tt.want) - 1; len(done) != n || done[n-1] != n {
			t.Errorf("full %v: progress was %v", tt.full, done)
		}
	}
}

// compressible is n bytes that compress to about half.
func compressible(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[r.Uint32()&15]
	}
	return string(b)
}

// TestSameBytes writes the same archive with few and many CPUs, and from files
// that give little at a time.
func TestSameBytes(t *testing.T) {
	for c, size := range map[Compression]int{Zstd: 9 << 20, Gzip: 1 << 20, None: 1 << 20} { // zstd works on 8 MiB at a time
		big := compressible(size)
		l := list(regular("big", big), regular("small", "x"))
		tree := memTree{"big": big, "small": "x"}
		o := Options{Compression: c}
		want := write(t, l, tree, o)
		for _, cpus := range []int{1, 2, 7} {
			old := runtime.GOMAXPROCS(cpus)
			got := write(t, l, tree, o)
			runtime.GOMAXPROCS(old)
			if !bytes.Equal(got, want) {
				t.Errorf("%v with %d CPUs: other bytes, %d instead of %d", o.Compression, cpus, len(got), len(want))
			}
		}
		if !bytes.Equal(write(t, l, slowTree{tree}, o), want) {
			t.Errorf("%v from slow files: other bytes", o.Compression)
		}
		if _, back, err := read(bytes.NewReader(want)); err != nil || back["big"] != big {
			t.Errorf("%v: read back: %v", o.Compression, err)
		}
	}
}

// slowTree gives half of what it is asked for.
type slowTree struct{ memTree }

func (s slowTree) Open(path string) (plist.File, error) {
	f, err := s.memTree.Open(path)
	return io.NopCloser(iotest.HalfReader(f)), err
}

// errTree is a Tree whose files can not be read.
type errTree struct{}

func (errTree) Open(string) (plist.File, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errFull))), nil
}

func TestReadError(t *testing.T) {
	for _, content := range []string{"x", "xx"} { // after the last byte, and before
		if err := Write(io.Discard, list(regular("f", content)), errTree{}, Options{}); err == nil || err.Error() != "f: disk full" {
			t.Errorf("%q: error is %v", content, err)
		}
	}
}

// errWriter fails after n bytes.
type errWriter struct{ n int }

var errFull = errors.New("disk full")

func (w *errWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	tree := memTree{"f": "content", ListName: "x"}
	for _, tt := range []struct {
		name string
		l    *plist.List
		want string
	}{
		{"invalid list", list(regular("b", ""), regular("a", "")), "out of order"},
		{"place of the list", list(regular(ListName, "x")), "place of the packing list"},
		{"below the place of the list", list(dir(ListName + "/x")), "place of the packing list"},
		{"shorter", list(regular("f", "content!")), "f: is 7 bytes long, 8 in the list"},
		{"longer", list(regular("f", "conten")), "f: is longer than 6 bytes"},
		{"missing", list(regular("g", "")), "g: file does not exist"},
	} {
		err := Write(io.Discard, tt.l, tree, Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", tt.name, err, tt.want)
		}
	}
	left := list(regular(ListName, "x"))
	left.Entries[0].Class = plist.ClassShared
	if err := Write(io.Discard, left, tree, Options{Full: true}); err != nil {
		t.Errorf("a list that tar(1) left, in a whole capture: %v", err)
	}
	for c := range compressions {
		for _, n := range []int{0, 100, 1000} {
			body := compressible(1 << 20)
			err := Write(&errWriter{n}, list(regular("f", body)), memTree{"f": body}, Options{Compression: Compression(c)})
			if !errors.Is(err, errFull) || strings.Count(err.Error(), errFull.Error()) != 1 {
				t.Errorf("%v, full after %d bytes: error is %v", Compression(c), n, err)
			}
		}
	}
}

// TestListPlace: what only the list tells of may be named like the list.
func TestListPlace(t *testing.T) {
	write(t, list(deletion(ListName)), memTree{}, Options{})
}

func TestCompressionText(t *testing.T) {
	for c := range compressions {
		var back Compression
		text, err := Compression(c).MarshalText()
		check(t, err)
		check(t, back.UnmarshalText(text))
		if back != Compression(c) {
			t.Errorf("%s came back as %v", text, back)
		}
	}
	var c Compression
	if err := c.UnmarshalText([]byte("xz")); err == nil || !strings.Contains(err.Error(), "zstd, gzip, none") {
		t.Errorf("xz: error is %v", err)
	}
}

func TestFormatTime(t *testing.T) {
	for _, tt := range []struct {
		sec, nsec int64
		want      string
	}{
		{0, 0, "0"},
		{5, 1, "5.000000001"},
		{5, 500e6, "5.5"},
		{-1, 0, "-1"},
		{-1, 750e6, "-0.25"},
		{-2, 999999999, "-1.000000001"},
	} {
		if got := formatTime(time.Unix(tt.sec, tt.nsec)); got != tt.want {
			t.Errorf("%d s + %d ns: %s, want %s", tt.sec, tt.nsec, got, tt.want)
		}
	}
}

// TestNumber holds number against the standard library, which reads it.
func TestNumber(t *testing.T) {
	for _, v := range []int64{0, 1, 0o777, 1<<33 - 1, 1 << 33, 1<<62 + 5, -1, -1 << 40} {
		m := member{Entry: &plist.Entry{Path: "x", Mode: fs.ModeDir, ModTime: time.Unix(v, 0)}}
		var b block
		b.number(sizeField, v)
		if got := b.readNumber(sizeField); v >= 0 && got != v {
			t.Errorf("%d came back as %d", v, got)
		}
		h, err := tar.NewReader(bytes.NewReader(m.appendHeader(nil))).Next()
		check(t, err)
		if h.ModTime.Unix() != v {
			t.Errorf("time %d came back as %d", v, h.ModTime.Unix())
		}
	}
	var b block
	copy(b[sizeField.off:], bytes.Repeat([]byte{0xff}, sizeField.len))
	if v := b.readNumber(sizeField); v != -1 {
		t.Errorf("a number too large was read as %d", v)
	}
}

// TestLargeIDs: ids that the ustar header can not hold in octal are in records too.
func TestLargeIDs(t *testing.T) {
	m := member{Entry: &plist.Entry{Path: "x", Mode: fs.ModeDir, UID: 1<<21 - 1, GID: 1 << 21, ModTime: time.Unix(-1, 0)}}
	h, err := tar.NewReader(bytes.NewReader(m.appendHeader(nil))).Next()
	check(t, err)
	if want := map[string]string{"gid": "2097152", "mtime": "-1"}; !maps.Equal(h.PAXRecords, want) {
		t.Errorf("records are %v, want %v", h.PAXRecords, want)
	}
}

// TestRecord: the length of a record counts its own digits.
func TestRecord(t *testing.T) {
	for n := range 1100 {
		rec := string(appendRecord(nil, "k", strings.Repeat("v", n)))
		if want := fmt.Sprintf("%d k=", len(rec)); !strings.HasPrefix(rec, want) {
			t.Fatalf("%d bytes of value: record begins with %.8q, want %q", n, rec, want)
		}
	}
}

func TestSplitName(t *testing.T) {
	n := func(n int) string { return strings.Repeat("n", n) }
	for _, tt := range []struct {
		s            string
		prefix, name string
		fits         bool
	}{
		{n(100), "", n(100), true},
		{n(101), "", n(100), false},
		{n(50) + "/" + n(99) + "/", n(50), n(99) + "/", true},
		{n(100) + "/", "", n(100), false}, // the name must not be empty
		{n(155) + "/" + n(100), n(155), n(100), true},
		{n(156) + "/" + n(100), "", n(100), false},
		{"/" + n(100), "", "/" + n(99), false}, // nor the prefix
	} {
		prefix, name, fits := splitName(tt.s)
		if prefix != tt.prefix || name != tt.name || fits != tt.fits {
			t.Errorf("%q: %q, %q, %v", tt.s, prefix, name, fits)
		}
	}
}

func TestACLText(t *testing.T) {
	const header = "\x02\x00\x00\x00"
	for _, tt := range []struct {
		value, want string
		ok          bool
	}{
		{
			header + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\x40\x42\x0f\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
				"\x08\x00\x07\x00\x05\x00\x00\x00" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff",
			"user::rw-,user:1000000:r-x,group::r--,group:5:rwx,mask::rwx,other::---", true,
		},
		{"", "", false},
		{header, "", false},
		{"\x03\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff", "", false}, // another version
		{header + "\x01\x00\x06\x00\xff\xff\xff", "", false},            // cut off
		{header + "\x03\x00\x06\x00\xff\xff\xff\xff", "", false},        // no such tag
		{header + "\x01\x00\x08\x00\xff\xff\xff\xff", "", false},        // no such permission
		{header + "\x02\x00\x06\x00\xff\xff\xff\xff", "", false},        // a user without id
		{header + "\x01\x00\x06\x00\x05\x00\x00\x00", "", false},        // the owner with one
	} {
		if got, ok := aclText(tt.value); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %q, %v", tt.value, got, ok)
		}
	}
}
