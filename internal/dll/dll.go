// Package dll tells which DLLs a PE image asks for.
package dll

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
)

// Imports returns the names of the DLLs that an image imports from, be it by the
// names of symbols or by their ordinals, and then of those it loads at the first
// call, as the image spells them. A corrupt table ends where it leaves the file.
//
// Image import descriptors are 20 bytes with the name's address at 12, those of
// delayed imports 32 bytes with it at 4 (PE format, "The .idata Section" and
// "Delay-Load Import Tables").
func Imports(f *pe.File) []string {
	return append(names(f, pe.IMAGE_DIRECTORY_ENTRY_IMPORT, 20, 12), names(f, pe.IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, 32, 4)...)
}

// More than Windows takes for a path (MAX_PATH), in bytes, and than any image imports.
const (
	maxName  = 512
	maxNames = 4096
)

// names returns the names in a table of descriptors of the given size, up to the
// one without a name.
func names(f *pe.File, directory, size, at int) []string {
	dirs := directories(f)
	if directory >= len(dirs) || dirs[directory].VirtualAddress == 0 {
		return nil
	}
	var found []string
	table := make([]byte, size)
	for from := dirs[directory].VirtualAddress; len(found) < maxNames && read(f, table, from) == size; from += uint32(size) {
		rva := binary.LittleEndian.Uint32(table[at:])
		var text [maxName]byte
		name, _, ok := bytes.Cut(text[:read(f, text[:], rva)], []byte{0})
		if rva == 0 || !ok {
			break
		}
		found = append(found, string(name))
	}
	return found
}

func directories(f *pe.File) []pe.DataDirectory {
	switch h := f.OptionalHeader.(type) {
	case *pe.OptionalHeader32:
		return h.DataDirectory[:min(int(h.NumberOfRvaAndSizes), len(h.DataDirectory))]
	case *pe.OptionalHeader64:
		return h.DataDirectory[:min(int(h.NumberOfRvaAndSizes), len(h.DataDirectory))]
	}
	return nil
}

// read fills p with what a section of the file has from an address on, and returns how
// many bytes that are.
func read(f *pe.File, p []byte, rva uint32) int {
	for _, s := range f.Sections {
		if rva >= s.VirtualAddress && rva-s.VirtualAddress < s.Size {
			n, _ := s.ReadAt(p, int64(rva-s.VirtualAddress)) // of what can not be read there is nothing
			return n
		}
	}
	return 0
}
