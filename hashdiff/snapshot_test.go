package hashdiff

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// record makes a record of a regular file.
func record(path string, change func(*Record)) *Record {
	r := &Record{
		Entry:  plist.Entry{Path: path, Mode: 0o644, UID: 1, GID: 2, ModTime: time.Unix(-5, 6), Size: 7},
		Stamp:  Stamp{Inode: capture.Inode{Dev: 1 << 40, Ino: 1<<64 - 1, Nlink: 3}, Size: 7, ModTime: Time{-5, 6}, Changed: Time{1 << 40, 999999999}, Born: Time{3, 4}},
		Hashed: true,
	}
	r.Digest[0], r.Digest[31] = 1, 2
	if change != nil {
		change(r)
	}
	return r
}

// become makes r another kind of file.
func (r *Record) become(mode fs.FileMode) {
	r.Mode, r.Size, r.Hashed, r.Digest = mode, 0, false, plist.Digest{}
}

var samples = []*Record{
	record(".", func(r *Record) { r.become(fs.ModeDir | fs.ModeSticky | 0o777) }),
	record("a", nil),
	record("a b\n\xff", func(r *Record) { r.Racy = true }),
	record("abc", func(r *Record) { r.become(0); r.Unread = "permission denied" }),
	record("abd", func(r *Record) { r.Xattrs = map[string]string{"user.b": "\x00", "user.a": "", "security.x": "y"} }),
	record("d", func(r *Record) { r.become(fs.ModeDevice | fs.ModeCharDevice | 0o600); r.Major, r.Minor = 511, 1<<20-1 }),
	record("i", func(r *Record) { r.become(fs.ModeIrregular) }),
	record("l", func(r *Record) { r.become(fs.ModeSymlink | 0o777); r.Link = "no/where\xfe" }),
	record("p", func(r *Record) { r.become(fs.ModeNamedPipe | 0o600); r.Flags = 0x40000010 }),
	record("s", func(r *Record) { r.become(fs.ModeSocket); r.Stamp = Stamp{} }),
}

// snapshotOf writes records as a snapshot.
func snapshotOf(t testing.TB, records ...*Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Root: "/r\xff", Paths: []string{"a", "b/c"}, Made: time.Unix(9, 0)})
	for _, r := range records {
		if err == nil {
			err = w.Write(r)
		}
	}
	if err == nil {
		err = w.Close(Tally{Records: len(records)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads a source to its end.
func readAll(s Source) ([]*Record, error) {
	var records []*Record
	for {
		r, err := s.Next()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
}

func parse(b []byte) (*Reader, []*Record, error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	records, err := readAll(r)
	return r, records, err
}

func TestFileKeepsAll(t *testing.T) {
	r, got, err := parse(snapshotOf(t, samples...))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{"/r\xff", []string{"a", "b/c"}, time.Unix(9, 0)}); !reflect.DeepEqual(r.Header, want) {
		t.Errorf("header %+v, want %+v", r.Header, want)
	}
	if r.Tally().Records != len(samples) {
		t.Errorf("tally %+v", r.Tally())
	}
	for i, want := range samples {
		if i >= len(got) {
			t.Fatalf("%d records, want %d", len(got), len(samples))
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("got  %+v\nwant %+v", got[i], want)
		}
	}
}

// A file that is not whole is refused wherever it was cut or changed, and the
// error tells the place.
func TestDamageIsNoticed(t *testing.T) {
	var many []*Record
	for i := range 3000 {
		many = append(many, record(strings.Repeat("x", i%200+1)+string(rune('a'+i/200)), nil))
	}
	sortRecords(many)
	whole := snapshotOf(t, many...)
	if len(whole) < 3*frameSize {
		t.Fatalf("%d bytes: too few frames for this test", len(whole))
	}
	damaged := func(b []byte, what string, at int) {
		t.Helper()
		_, _, err := parse(b)
		var damage *DamageError
		if at < len(magic) && errors.Is(err, ErrNotSnapshot) {
			return
		}
		if !errors.As(err, &damage) {
			t.Errorf("%s at %d: %v, want a *DamageError", what, at, err)
		} else if damage.Offset > int64(at) || int64(at)-damage.Offset > frameHead+frameSize+1000 {
			t.Errorf("%s at %d: said to be at %d", what, at, damage.Offset)
		}
	}
	for at := 0; at < len(whole); at += 997 {
		damaged(whole[:at], "cut off", at)
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		damaged(b, "bit flipped", at)
	}
	damaged(whole[:len(whole)-1], "cut off", len(whole)-1)
	damaged(append(bytes.Clone(whole), 0), "longer", len(whole))
}

func TestFileRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []*Record
	}{
		{"out of order", []*Record{record("b", nil), record("a", nil)}},
		{"the same path twice", []*Record{record("a", nil), record("a", nil)}},
		{"path above", []*Record{record("../a", nil)}},
		{"absolute path", []*Record{record("/a", nil)}},
		{"negative size", []*Record{record("a", func(r *Record) { r.Size = -1 })}},
		{"digest of a directory", []*Record{record("a", func(r *Record) { r.Mode = fs.ModeDir })}},
		{"time beyond its second", []*Record{record("a", func(r *Record) { r.Stamp.Changed.Nsec = 1e9 })}},
	} {
		_, _, err := parse(snapshotOf(t, tt.records...))
		var damage *DamageError
		if !errors.As(err, &damage) {
			t.Errorf("%s: %v, want a *DamageError", tt.name, err)
		}
	}
	if _, _, err := parse([]byte("#!/bin/sh\n")); !errors.Is(err, ErrNotSnapshot) {
		t.Errorf("a script: %v", err)
	}
}

// What was changed shortly before it was looked at is read again, what was left
// alone is not: an earlier snapshot that lies about a digest shows which.
func TestEarlierSnapshot(t *testing.T) {
	root := t.TempDir()
	name := filepath.Join(root, "f")
	if err := os.WriteFile(name, []byte("truth"), 0o600); err != nil {
		t.Fatal(err)
	}
	truth := scanAll(t, root)[1]
	if !truth.Racy && (truth.Stamp != Stamp{}) {
		t.Error("a file that was just written is not racy")
	}
	for _, tt := range []struct {
		name   string
		change func(*Record)
		lie    bool
	}{
		{"left alone", func(*Record) {}, true},
		{"racy", func(r *Record) { r.Racy = true }, false},
		{"unread", func(r *Record) { r.Unread = "no" }, false},
		{"not hashed", func(r *Record) { r.Hashed, r.Digest = false, plist.Digest{} }, false},
		{"other inode", func(r *Record) { r.Stamp.Ino++ }, false},
		{"other device", func(r *Record) { r.Stamp.Dev++ }, false},
		{"other size", func(r *Record) { r.Stamp.Size++ }, false},
		{"other mtime", func(r *Record) { r.Stamp.ModTime.Nsec ^= 1 }, false},
		{"other ctime", func(r *Record) { r.Stamp.Changed.Nsec ^= 1 }, false},
		{"other birth", func(r *Record) { r.Stamp.Born.Sec++ }, false},
		{"no stamp", func(r *Record) { r.Stamp = Stamp{} }, false},
	} {
		if tt.lie && (truth.Stamp == Stamp{}) {
			continue // this system has no stamps
		}
		lie := *truth
		lie.Racy = false
		lie.Digest[0] ^= 1
		tt.change(&lie)
		_, records, err := parse(snapshotOf(t, &lie))
		if err != nil {
			t.Fatal(err)
		}
		got := scanWith(t, root, &slice{records})[1]
		if lied := got.Digest != truth.Digest; lied != tt.lie {
			t.Errorf("%s: digest of the earlier snapshot taken: %v, want %v", tt.name, lied, tt.lie)
		}
	}
}

func TestIsRacy(t *testing.T) {
	now := time.Unix(1000, 500)
	for _, tt := range []struct {
		changed Time
		want    bool
	}{
		{Time{1000, 500}, true},
		{Time{998, 501}, true},
		{Time{998, 499}, false},
		{Time{900, 0}, false},
		{Time{2000, 0}, true}, // a clock that was set back
	} {
		s := Stamp{Changed: tt.changed}
		if got := s.isRacy(now); got != tt.want {
			t.Errorf("changed %v: %v", tt.changed, got)
		}
	}
}

// A slice is a Source of records in memory.
type slice struct{ records []*Record }

func (s *slice) Next() (*Record, error) {
	if len(s.records) == 0 {
		return nil, io.EOF
	}
	r := s.records[0]
	s.records = s.records[1:]
	return r, nil
}

func scanAll(t testing.TB, root string) []*Record {
	t.Helper()
	return scanWith(t, root, nil)
}

func scanWith(t testing.TB, root string, earlier Source) []*Record {
	t.Helper()
	s := Scan(t.Context(), Scope{Root: root, Paths: []string{"."}}, Options{Earlier: earlier})
	defer s.Close()
	records, err := readAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func FuzzReader(f *testing.F) {
	f.Add(snapshotOf(f, samples...))
	f.Add(snapshotOf(f))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, records, err := parse(b)
		if err != nil {
			return
		}
		_, again, err := parse(snapshotOf(t, records...))
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, again, records)
		}
	})
}

// FuzzRecord gives the decoder what no checksum let through.
func FuzzRecord(f *testing.F) {
	for _, r := range samples {
		f.Add(appendRecord(nil, "", r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{b: b}
		r := d.record("")
		if d.err != nil {
			return
		}
		again := decoder{b: appendRecord(nil, "", r)}
		if got := again.record(""); again.err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%v\ngot  %+v\nwant %+v", again.err, got, r)
		}
	})
}

func sortRecords(records []*Record) {
	slices.SortFunc(records, func(a, b *Record) int { return plist.ComparePaths(a.Path, b.Path) })
}
