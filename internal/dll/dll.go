// Package dll tells which DLLs a PE image asks for.
package dll

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
)

// Imports returns the names of the DLLs that an image imports from, be it by the
// names of symbols or by their ordinals, and then of those it loads at the first
// call, as the image spells them. A corrupt table ends where it leaves the file.
//
// Image import descriptors are 20 bytes with the name's address at 12, those of
// delayed imports 32 bytes with it at 4 (PE format, "The .idata Section" and
// "Delay-Load Import Tables").
func Imports(f *pe.File) []string {
	img := &image{f, make(map[*pe.Section][]byte)}
	return append(img.names(pe.IMAGE_DIRECTORY_ENTRY_IMPORT, 20, 12), img.names(pe.IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, 32, 4)...)
}

// An image is a PE file, with the sections that were looked into.
type image struct {
	*pe.File
	sections map[*pe.Section][]byte
}

// names returns the names in a table of descriptors of the given size, up to the
// one without a name.
func (img *image) names(directory, size, at int) []string {
	dirs := img.directories()
	if directory >= len(dirs) || dirs[directory].VirtualAddress == 0 {
		return nil
	}
	var names []string
	for table := img.data(dirs[directory].VirtualAddress); len(table) >= size; table = table[size:] {
		rva := binary.LittleEndian.Uint32(table[at:])
		name, _, ok := bytes.Cut(img.data(rva), []byte{0})
		if rva == 0 || !ok {
			break
		}
		names = append(names, string(name))
	}
	return names
}

func (img *image) directories() []pe.DataDirectory {
	switch h := img.OptionalHeader.(type) {
	case *pe.OptionalHeader32:
		return h.DataDirectory[:min(int(h.NumberOfRvaAndSizes), len(h.DataDirectory))]
	case *pe.OptionalHeader64:
		return h.DataDirectory[:min(int(h.NumberOfRvaAndSizes), len(h.DataDirectory))]
	}
	return nil
}

// data returns what a section of the file has from an address on; nil if none
// does.
func (img *image) data(rva uint32) []byte {
	for _, s := range img.Sections {
		if rva < s.VirtualAddress || rva-s.VirtualAddress >= s.Size {
			continue
		}
		content, ok := img.sections[s]
		if !ok {
			var err error
			if content, err = io.ReadAll(s.Open()); err != nil {
				return nil
			}
			img.sections[s] = content
		}
		if at := rva - s.VirtualAddress; uint64(at) < uint64(len(content)) {
			return content[at:]
		}
	}
	return nil
}
