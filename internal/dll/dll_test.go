package dll

import (
	"bytes"
	"debug/pe"
	"testing"
)

// TestHostile: a table as long as the file, of descriptors that all have one name, be it
// as long as the file itself, asks for no more memory than a few thousand names do.
func TestHostile(t *testing.T) {
	const base, size = 0x01010101, 100_000
	for _, c := range []struct {
		tail string
		want int
	}{{"\x00", 0}, {"\x00\x01\x01\x00", maxNames}} {
		content := bytes.Repeat([]byte{1}, size) // each word of it is base
		copy(content[1:], c.tail[1:])
		content = append(content, c.tail[0])
		section := &pe.Section{SectionHeader: pe.SectionHeader{VirtualAddress: base, Size: uint32(len(content))}, ReaderAt: bytes.NewReader(content)}
		h := &pe.OptionalHeader64{NumberOfRvaAndSizes: 16}
		h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress = base
		if names := Imports(&pe.File{OptionalHeader: h, Sections: []*pe.Section{section}}); len(names) != c.want {
			t.Errorf("%d names, want %d", len(names), c.want)
		}
	}
}
