// Package rebasetest makes small PE images for tests, as a linker would have
// made them. It shares no code with package rebase, so that a mistake there is
// not made here as well.
package rebasetest

import "encoding/binary"

var le = binary.LittleEndian

// Machines, as in the file header.
const (
	I386  = 0x014c
	AMD64 = 0x8664
	ARM64 = 0xaa64
)

// Options describe an image.
type Options struct {
	Machine   uint16
	Base      uint64
	Pages     int    // of data, each with pointers to its own begin; 1 if zero
	Flags     uint16 // Characteristics beside DLL, executable and large address aware
	DLLFlags  uint16 // DllCharacteristics
	Subsystem uint16
	NoFixups  bool   // no relocation table
	NoSum     bool   // checksum left zero
	Signature []byte // a certificate table
	Seed      byte   // makes images of the same shape differ
}

// Where Image puts things.
const (
	Headers  = 0x80         // of the PE signature
	Optional = Headers + 24 // of the optional header
	Data     = 0x400        // of .data, whose RVA is Page
	Page     = 0x1000
)

const (
	dirCertificate = 4
	dirFixups      = 5
)

// Image builds an image of two sections, .data and .reloc. Every data page
// holds 16 pointers to its own begin, the last of them 4 bytes before the end
// of the page where the machine's pointers are 8 bytes wide, unless it is the
// last page.
func Image(o Options) []byte {
	pages := max(o.Pages, 1)
	wide := o.Machine != I386
	reloc := newFixupTable(pages, wide)
	if o.NoFixups {
		reloc = nil
	}
	relocLen := roundUp(len(reloc), 0x200)
	b := make([]byte, Data+pages*Page+relocLen)
	copy(b, "MZ")
	le.PutUint32(b[60:], Headers)
	copy(b[Headers:], "PE\x00\x00")
	coff := b[Headers+4:]
	le.PutUint16(coff, uint16(o.Machine))
	le.PutUint16(coff[2:], 2)
	le.PutUint32(coff[4:], 0x5f000000+uint32(o.Seed))
	optionalLen := 96 + 16*8
	if wide {
		optionalLen += 16
	}
	le.PutUint16(coff[16:], uint16(optionalLen))
	le.PutUint16(coff[18:], 0x2022|o.Flags)
	putOptional(b[Optional:], o, pages, len(reloc))
	table := b[Optional+optionalLen:]
	putSection(table, ".data", uint32(pages*Page), Page, Data)
	relocRVA := uint32(Page + pages*Page)
	putSection(table[40:], ".reloc", uint32(max(relocLen, 1)), relocRVA, uint32(Data+pages*Page))
	le.PutUint32(table[40+16:], uint32(relocLen))
	copy(b[Data+pages*Page:], reloc)
	putPointers(b, o, pages)
	return finish(b, o)
}

func putOptional(opt []byte, o Options, pages, relocLen int) {
	magic, dirs := uint16(0x10b), 96
	if o.Machine != I386 {
		magic, dirs = 0x20b, 112
		le.PutUint64(opt[24:], o.Base)
	} else {
		le.PutUint32(opt[28:], uint32(o.Base))
	}
	le.PutUint16(opt, magic)
	le.PutUint32(opt[32:], Page)
	le.PutUint32(opt[36:], 0x200)
	le.PutUint32(opt[56:], uint32(roundUp((pages+1)*Page+max(relocLen, 1), Page)))
	le.PutUint32(opt[60:], Data)
	le.PutUint16(opt[68:], max(o.Subsystem, 3))
	le.PutUint16(opt[70:], o.DLLFlags)
	le.PutUint32(opt[dirs-4:], 16)
	if relocLen > 0 {
		le.PutUint32(opt[dirs+8*dirFixups:], uint32((pages+1)*Page))
		le.PutUint32(opt[dirs+8*dirFixups+4:], uint32(relocLen))
	}
}

func putSection(b []byte, name string, size, rva, raw uint32) {
	copy(b, name)
	le.PutUint32(b[8:], size)
	le.PutUint32(b[12:], rva)
	le.PutUint32(b[16:], size)
	le.PutUint32(b[20:], raw)
	le.PutUint32(b[36:], 0xc0000040)
}

// pointerOffset returns where pointer i of a Page lies; the last one of a wide
// image reaches into the next page.
func pointerOffset(i int) int {
	if i == 15 {
		return Page - 4
	}
	return 8 + i*200
}

func pointersOf(pageNo, pages int, wide bool) int {
	if wide && pageNo == pages-1 {
		return 15 // the last may not leave the section
	}
	return 16
}

func newFixupTable(pages int, wide bool) []byte {
	kind := uint16(3 << 12)
	if wide {
		kind = 10 << 12
	}
	var table []byte
	for p := range pages {
		n := pointersOf(p, pages, wide)
		table = le.AppendUint32(table, uint32((p+1)*Page))
		table = le.AppendUint32(table, uint32(8+2*(n+n%2)))
		for i := range n {
			table = le.AppendUint16(table, kind|uint16(pointerOffset(i)))
		}
		if n%2 == 1 {
			table = le.AppendUint16(table, 0)
		}
	}
	return table
}

func putPointers(b []byte, o Options, pages int) {
	data := b[Data:]
	for i := range data[:pages*Page] {
		data[i] = byte(i*7) ^ o.Seed
	}
	for p := range pages {
		value := o.Base + uint64((p+1)*Page)
		for i := range pointersOf(p, pages, o.Machine != I386) {
			at := data[p*Page+pointerOffset(i):]
			if o.Machine == I386 {
				le.PutUint32(at, uint32(value))
			} else {
				le.PutUint64(at, value)
			}
		}
	}
}

func finish(b []byte, o Options) []byte {
	if o.Signature != nil {
		dirs := Optional + 112
		if o.Machine == I386 {
			dirs -= 16
		}
		le.PutUint32(b[dirs+8*dirCertificate:], uint32(len(b)))
		le.PutUint32(b[dirs+8*dirCertificate+4:], uint32(len(o.Signature)))
		b = append(b, o.Signature...)
	}
	if !o.NoSum {
		le.PutUint32(b[Optional+64:], Checksum(b, Optional+64))
	}
	return b
}

// Checksum is the PE image checksum of a file whose checksum field is at field:
// its 16-bit words added one by one, as the definition has it.
func Checksum(b []byte, field int) uint32 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i])
		if i+1 < len(b) {
			word |= uint32(b[i+1]) << 8
		}
		if i == field || i == field+2 {
			word = 0
		}
		sum += word
		sum = sum>>16 + sum&0xffff
	}
	return sum + uint32(len(b))
}

func roundUp(v, to int) int { return (v + to - 1) &^ (to - 1) }
