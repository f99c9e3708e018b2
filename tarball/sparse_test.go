package tarball

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestMap(t *testing.T) {
	for _, tt := range []struct {
		data []Extent
		size int64
		want string
	}{
		{nil, 5, "1\n5\n0\n"},
		{[]Extent{{0, 3}}, 5, "2\n0\n3\n5\n0\n"},
		{[]Extent{{4096, 4096}, {12288, 5}}, 12293, "2\n4096\n4096\n12288\n5\n"},
	} {
		text := appendMap(nil, tt.data, tt.size)
		if got := strings.TrimRight(string(text), "\x00"); got != tt.want || len(text) != 512 {
			t.Errorf("%v of %d: %d bytes, %q, want %q", tt.data, tt.size, len(text), got, tt.want)
		}
		back, n, err := readMap(bufio.NewReader(bytes.NewReader(text)), tt.size)
		if err != nil || n != 512 || !slices.Equal(back, tt.data) {
			t.Errorf("%v of %d came back as %v, %d, %v", tt.data, tt.size, back, n, err)
		}
	}
	many := make([]Extent, 1000)
	for i := range many {
		many[i] = Extent{int64(i) * 8192, 4096}
	}
	text := appendMap(nil, many, 1<<40)
	if back, n, err := readMap(bufio.NewReader(bytes.NewReader(text)), 1<<40); err != nil || n != int64(len(text)) || !slices.Equal(back, many) {
		t.Errorf("a map of 1000 extents: %d bytes, %v", n, err)
	}
}

func TestBadMap(t *testing.T) {
	for _, text := range []string{
		"", "1", "1\n", "1\n0\n", "x\n", "-1\n", "\n", "0\n", // cut off, or no number
		"1\n0\n100\n",                                  // no hole
		"1\n0\n50\n",                                   // no end
		"2\n0\n50\n50\n50\n",                           // touching
		"3\n0\n20\n20\n20\n100\n0\n",                   // touching, and a hole
		"2\n50\n10\n0\n10\n",                           // backwards
		"2\n0\n50\n40\n20\n",                           // overlapping
		"2\n0\n0\n100\n0\n",                            // empty extent
		"1\n50\n51\n",                                  // longer than the file
		"1\n101\n0\n",                                  // ends elsewhere
		"1\n50\n9223372036854775807\n",                 // overflow
		"1\n99999999999999999999\n0\n",                 // overflow
		"1\n050\n50\n", "1\n+50\n50\n", "01\n50\n50\n", // other spellings
		"2\n50\n50\n100\n0\n",                       // end told twice
		"1\n50\n50\nx",                              // padding
		strings.Repeat("1", 5000) + "\n",            // long line
		"9223372036854775807\n" + "0\n1\n2\n1\n4\n", // not that many
	} {
		if text != "" && strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "x") {
			text += strings.Repeat("\x00", int(padding(int64(len(text)))))
		}
		if data, _, err := readMap(bufio.NewReader(strings.NewReader(text)), 100); err == nil {
			t.Errorf("map %.50q was taken for %v", text, data)
		}
	}
	if _, _, err := readMap(bufio.NewReader(bytes.NewReader(appendMap(nil, []Extent{{50, 50}}, 100))), 100); err != nil {
		t.Errorf("a good map: %v", err) // so that the bad ones are refused for what is bad in them
	}
}

// TestMapOfNothing: a map that a compressor makes nothing of ends at once.
func TestMapOfNothing(t *testing.T) {
	for _, extent := range []string{"0\n0\n", "5\n1\n", "9\n9223372036854775807\n"} {
		text := strings.NewReader("1000000\n" + strings.Repeat(extent, 1_000_000))
		_, _, err := readMap(bufio.NewReader(text), 100)
		if err != errMap || text.Len() < 1_000_000 {
			t.Errorf("%q: %v, and %d bytes unread", extent, err, text.Len())
		}
	}
}

func TestAppendData(t *testing.T) {
	z, x := strings.Repeat("\x00", sparseBlock), strings.Repeat("x", sparseBlock)
	for _, tt := range []struct {
		content string
		want    []Extent
	}{
		{z, nil},
		{x, []Extent{{0, sparseBlock}}},
		{z + "x", []Extent{{sparseBlock, 1}}},
		{x + z + x + x + z[1:], []Extent{{0, sparseBlock}, {2 * sparseBlock, 2 * sparseBlock}}},
		{z[1:] + "x" + "\x00", []Extent{{0, sparseBlock}}},
	} {
		if got := appendData(nil, []byte(tt.content), 0); !slices.Equal(got, tt.want) {
			t.Errorf("%d bytes: %v, want %v", len(tt.content), got, tt.want)
		}
		var got []Extent
		for off := 0; off < len(tt.content); off += sparseBlock { // the same in pieces
			got = appendData(got, []byte(tt.content[off:min(off+sparseBlock, len(tt.content))]), int64(off))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d bytes in pieces: %v, want %v", len(tt.content), got, tt.want)
		}
	}
}
