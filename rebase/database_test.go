package rebase

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// testRecords are records of every shape the text form has.
func testRecords() []Record {
	return []Record{
		{Name: "/usr/bin/a b\xff\"\n.dll", Machine: I386, Base: 0x6fff0000, Size: 0x9000, Reserved: 0x20000},
		{
			Name: "/usr/bin/b.dll", Machine: AMD64, Base: 0x3ffff0000, Size: 0x9000, Reserved: 0x10000,
			File: &Identity{Length: 7100, Stamp: 1, CheckSum: 2, Digest: plist.Digest{3}},
		},
		{
			Name: "/usr/bin/c.dll", Machine: ARM64, Base: 0x3fff00000, Size: 0x9000, Reserved: 0x10000,
			File: &Identity{Length: 7100}, Was: &Past{Original{Base: 0x180000000, CheckSum: 7}, plist.Digest{9}},
		},
		{
			Name: "/usr/bin/d.dll", Machine: AMD64, Base: 0x3ffe00000, Size: 0x9000, Reserved: 0x10000,
			File: &Identity{Length: 7100}, Was: &Past{Original{0x180000000, 0, dllDynamicBase, []byte("signature")}, plist.Digest{9}},
		},
	}
}

func equalRecords(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(x, y Record) bool { return x.equal(&y) })
}

func TestTextForm(t *testing.T) {
	text := encodeText(testRecords())
	records, err := parseText(text)
	if err != nil || !equalRecords(records, testRecords()) {
		t.Errorf("%v\n%s", err, text)
	}
	lines := strings.SplitAfter(string(text), "\n")
	first, last := lines[1], lines[4]
	for name, bad := range map[string]string{
		"no last newline": string(text[:len(text)-1]),
		"twice":           lines[0] + first + first,
		"no name":         lines[0] + first[1:],
		"unknown word":    lines[0] + strings.Replace(first, "machine", "maschine", 1),
		"repeated word":   lines[0] + strings.Replace(first, "size", "base", 1),
		"missing word":    lines[0] + strings.Replace(first, " size=0x9000", "", 1),
		"half a file":     lines[0] + strings.Replace(last, " length=7100", "", 1),
		"half a past":     lines[0] + strings.Replace(last, " was-checksum=0x0", "", 1),
		"past, no file":   lines[0] + strings.Replace(last, last[strings.Index(last, " length"):strings.Index(last, " was-base")], "", 1),
		"empty signature": lines[0] + last[:strings.Index(last, "was-signature")] + "was-signature=\n",
		"decimal":         lines[0] + strings.Replace(first, "0x9000", "9000", 1),
		"too large":       lines[0] + strings.Replace(first, "0x9000", "0x123456789", 1),
		"half a slot":     lines[0] + strings.Replace(first, "0x20000", "0x20001", 1),
		"short digest":    lines[0] + strings.Replace(last, "00 was-cleared", " was-cleared", 1),
		"other flags":     lines[0] + strings.Replace(last, "was-cleared=0x40", "was-cleared=0x140", 1),
		"no flags":        lines[0] + strings.Replace(last, "was-cleared=0x40", "was-cleared=0x0", 1),
	} {
		if _, err := parseText([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRBII(t *testing.T) {
	h := rbiiHeader{AMD64, 0x400000000, 0, 1}
	records := []Record{
		{Name: "/usr/bin/a.dll", Machine: AMD64, Base: 0x3ffff0000, Size: 0x9000, Reserved: 0x10000},
		{Name: "/usr/bin/b.dll", Machine: AMD64, Base: 0x3fff00000, Size: 0x19000, Reserved: 0x30000},
	}
	b, err := h.encode(records)
	if err != nil {
		t.Fatal(err)
	}
	// by hand, from the description of the format
	want := "rBiI\x64\x86\x01\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x0f\x00\x00\x00\x00\x00\xff\xff\x03\x00\x00\x00\x00\x90\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x0f\x00\x00\x00\x00\x00\xf0\xff\x03\x00\x00\x00\x00\x90\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00" +
		"/usr/bin/a.dll\x00/usr/bin/b.dll\x00"
	if string(b) != want {
		t.Errorf("got  %q\nwant %q", b, want)
	}
	h2, records2, err := parseRBII(b)
	if err != nil || h2 != h || !equalRecords(records, records2) {
		t.Errorf("read back %v %v %v", h2, records2, err)
	}
	for i := range b {
		if _, _, err := parseRBII(b[:i]); err == nil {
			t.Errorf("cut to %d bytes: accepted", i)
		}
	}
	for name, at := range map[string]int{"machine": 4, "version": 6, "count": 24, "name length": 36, "slot": 52, "NUL": len(b) - 1} {
		bad := bytes.Clone(b)
		bad[at]++
		if _, _, err := parseRBII(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, _, err := parseRBII(append(b, 0)); err == nil {
		t.Error("a byte too much: accepted")
	}
	if _, err := h.encode([]Record{{Name: "/a", Machine: I386}}); err == nil {
		t.Error("a record of another machine was written")
	}
}

// TestRealRBII reads databases that Cygwin's rebase wrote, and writes them back:
// only the fields that hold garbage may differ.
func TestRealRBII(t *testing.T) {
	var files []string
	for _, name := range sharedCorpus(t) {
		if strings.Contains(name, "rebase.db") {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Skip("no ../shared/corpus/pe beside the repository")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h, records, err := parseRBII(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.encode(records)
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			entry := b[rbiiHeadLen+i*rbiiLen:]
			clear(entry[:8])    // a heap pointer
			clear(entry[28:32]) // uninitialised
		}
		if !bytes.Equal(got, b) {
			t.Errorf("%s: %d records do not give the same bytes", name, len(records))
		}
	}
}

func TestDatabaseSave(t *testing.T) {
	for _, format := range []Format{FormatText, FormatRBII} {
		path := filepath.Join(t.TempDir(), "db")
		d := NewDatabase(path)
		if format == FormatRBII {
			d = NewRBII(path, AMD64, 0x400000000)
		}
		for _, r := range slices.Backward(testRecords()) {
			if d.CanHold(r.Machine) == nil {
				d.Put(r)
			}
		}
		if err := d.Save(); err != nil {
			t.Fatal(err)
		}
		again, err := Open(path)
		if err != nil || again.Format != format || !equalRecords(again.Records(), d.Records()) {
			t.Fatalf("%s: read back: %v", format, err)
		}
		checkSavesOnlyChanges(t, again)
	}
}

func checkSavesOnlyChanges(t *testing.T, d *Database) {
	t.Helper()
	before, err := os.Stat(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	d.Put(*d.Find("/usr/bin/b.dll"))
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(d.Path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("nothing changed, but the file was replaced: %v", err)
	}
	if !d.Remove("/usr/bin/b.dll") || d.Remove("/usr/bin/b.dll") {
		t.Error("Remove")
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(d.Path); err != nil || again.Find("/usr/bin/b.dll") != nil {
		t.Errorf("the removed record is still there: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	lock, err := AcquireLock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := AcquireLock(ctx, path); !errors.Is(err, errLocked) {
		t.Errorf("second lock: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if lock, err = AcquireLock(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}
