package rebase

import "testing"

// imageOptions describe a small image for tests, as a linker would have made it.
type imageOptions struct {
	machine   Machine
	base      uint64
	pages     int    // of data, each with pointers into itself; 1 if zero
	flags     uint16 // Characteristics beside the usual ones
	subsystem uint16
	noFixups  bool // no relocation table
	noSum     bool // checksum left zero
	signature []byte
	seed      byte // makes images of the same shape differ
}

// Where newImage puts things.
const (
	testLfanew   = 0x80
	testOptional = testLfanew + 24
	testData     = 0x400 // file offset of .data, whose RVA is 0x1000
)

// newImage builds an image of two sections, .data and .reloc. Every data page
// holds 16 pointers to its own begin, the first of them 4 bytes before the end
// of the page where the machine's pointers are 8 bytes wide, unless it is the
// last page.
func newImage(t testing.TB, o imageOptions) []byte {
	t.Helper()
	pages := max(o.pages, 1)
	wide := o.machine != I386
	reloc := newFixupTable(pages, wide)
	if o.noFixups {
		reloc = nil
	}
	relocLen := int(roundUp(uint64(len(reloc)), 0x200))
	b := make([]byte, testData+pages*page+relocLen)
	copy(b, "MZ")
	le.PutUint32(b[60:], testLfanew)
	copy(b[testLfanew:], "PE\x00\x00")
	coff := b[testLfanew+4:]
	le.PutUint16(coff, uint16(o.machine))
	le.PutUint16(coff[2:], 2)
	le.PutUint32(coff[4:], 0x5f000000+uint32(o.seed))
	optionalLen := 96 + 16*8
	if wide {
		optionalLen += 16
	}
	le.PutUint16(coff[16:], uint16(optionalLen))
	le.PutUint16(coff[18:], fileDLL|0x2|fileLargeAddress&^o.flags|o.flags)
	putOptional(b[testOptional:], o, uint32(pages), uint32(len(reloc)))
	table := b[testOptional+optionalLen:]
	putSection(table, ".data", uint32(pages*page), page, testData)
	relocRVA := uint32(page + pages*page)
	putSection(table[40:], ".reloc", uint32(max(relocLen, 1)), relocRVA, uint32(testData+pages*page))
	le.PutUint32(table[40+16:], uint32(relocLen))
	copy(b[testData+pages*page:], reloc)
	putPointers(b, o, pages)
	return finish(b, o)
}

func putOptional(opt []byte, o imageOptions, pages, relocLen uint32) {
	magic, dirs := uint16(optionalMagic32), 96
	if o.machine != I386 {
		magic, dirs = optionalMagic64, 112
		le.PutUint64(opt[24:], o.base)
	} else {
		le.PutUint32(opt[28:], uint32(o.base))
	}
	le.PutUint16(opt, magic)
	le.PutUint32(opt[32:], page)
	le.PutUint32(opt[36:], 0x200)
	le.PutUint32(opt[56:], uint32(roundUp(uint64((pages+1)*page+max(relocLen, 1)), page)))
	le.PutUint32(opt[60:], testData)
	le.PutUint16(opt[68:], max(o.subsystem, 3))
	le.PutUint32(opt[dirs-4:], 16)
	if relocLen > 0 {
		le.PutUint32(opt[dirs+8*dirFixups:], (pages+1)*page)
		le.PutUint32(opt[dirs+8*dirFixups+4:], relocLen)
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

// pointerOffset returns where pointer i of a page lies; the last one of a wide
// image reaches into the next page.
func pointerOffset(i int) int {
	if i == 15 {
		return page - 4
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
	kind := uint16(kindHighLow << 12)
	if wide {
		kind = kindDir64 << 12
	}
	var table []byte
	for p := range pages {
		n := pointersOf(p, pages, wide)
		table = le.AppendUint32(table, uint32((p+1)*page))
		table = le.AppendUint32(table, uint32(8+2*(n+n%2)))
		for i := range n {
			table = le.AppendUint16(table, kind|uint16(pointerOffset(i)))
		}
		if n%2 == 1 {
			table = le.AppendUint16(table, kindNothing)
		}
	}
	return table
}

func putPointers(b []byte, o imageOptions, pages int) {
	data := b[testData:]
	for i := range data[:pages*page] {
		data[i] = byte(i*7) ^ o.seed
	}
	for p := range pages {
		value := o.base + uint64((p+1)*page)
		for i := range pointersOf(p, pages, o.machine != I386) {
			at := data[p*page+pointerOffset(i):]
			if o.machine == I386 {
				le.PutUint32(at, uint32(value))
			} else {
				le.PutUint64(at, value)
			}
		}
	}
}

func finish(b []byte, o imageOptions) []byte {
	if o.signature != nil {
		dirs := testOptional + 112
		if o.machine == I386 {
			dirs -= 16
		}
		le.PutUint32(b[dirs+8*dirCertificate:], uint32(len(b)))
		le.PutUint32(b[dirs+8*dirCertificate+4:], uint32(len(o.signature)))
		b = append(b, o.signature...)
	}
	if !o.noSum {
		le.PutUint32(b[testOptional+64:], checksum(b, testOptional+64))
	}
	return b
}
