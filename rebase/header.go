package rebase

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Machine is the processor an image is for. Images of different machines are
// never loaded into one process, so each machine is an address space of its own.
type Machine uint16

// The machines whose images can be moved.
const (
	I386  Machine = 0x014c
	AMD64 Machine = 0x8664
	ARM64 Machine = 0xaa64
)

// Machines are all machines, in the order they are shown.
var Machines = [...]Machine{I386, AMD64, ARM64}

// String returns the machine's usual name.
func (m Machine) String() string {
	switch m {
	case I386:
		return "i386"
	case AMD64:
		return "x86-64"
	case ARM64:
		return "arm64"
	}
	return fmt.Sprintf("machine %#04x", uint16(m))
}

// ParseMachine is the inverse of String.
func ParseMachine(s string) (Machine, error) {
	for _, m := range Machines {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown machine %q", s)
}

// Granularity is what Windows aligns image bases to (SYSTEM_INFO's
// dwAllocationGranularity). Address space is counted in slots of this size.
const Granularity = 1 << 16

const (
	page = 0x1000 // of all three machines' loaders

	fileStripped     = 0x0001 // IMAGE_FILE_RELOCS_STRIPPED
	fileLargeAddress = 0x0020 // IMAGE_FILE_LARGE_ADDRESS_AWARE
	fileDLL          = 0x2000 // IMAGE_FILE_DLL

	dllHighEntropy = 0x0020 // IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA
	dllDynamicBase = 0x0040 // IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
	dllIntegrity   = 0x0080 // IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY

	dirCertificate = 4
	dirFixups      = 5
	dirTLS         = 9
	dirLoadConfig  = 10
	dirBound       = 11
	dirDelayImport = 13
	dirCLR         = 14

	optionalMagic32 = 0x10b
	optionalMagic64 = 0x20b
)

var le = binary.LittleEndian

// ErrNotImage says that a file is something other than a PE image.
var ErrNotImage = errors.New("not a PE image")

// A Header is what the headers of an image say that matters to its base.
type Header struct {
	Machine  Machine
	DLL      bool   // and not a program
	Base     uint64 // where the image wants to be loaded
	Size     uint32 // of the loaded image: SizeOfImage
	Stamp    uint32 // TimeDateStamp of the file header
	CheckSum uint32
	Length   int64 // of the file

	flags         uint16 // Characteristics
	dllFlags      uint16 // DllCharacteristics
	subsystem     uint16
	sectionAlign  uint32
	fileAlign     uint32
	headers       uint32 // SizeOfHeaders
	optional      int64  // file offset of the optional header
	wide          bool   // PE32+
	dirs          [16]directory
	dirsAt        int64 // file offset of the first directory
	dirCount      int
	sections      []section
	sectionsEndAt int64
}

type directory struct{ rva, size uint32 }

type section struct {
	name        string
	rva, vsize  uint32
	raw, rawLen uint32
}

// ReadHeader reads the headers of a file of the given length. It returns
// ErrNotImage for what is no PE image at all, a *Fixed for one that is for a
// machine not in Machines, and another error for one that is cut or contradicts
// itself.
func ReadHeader(r io.ReaderAt, length int64) (*Header, error) {
	at, err := findHeaders(r, length)
	if err != nil {
		return nil, err
	}
	coff, err := readAt(r, at+4, 20)
	if err != nil {
		return nil, errors.New("file header is cut")
	}
	h := &Header{
		Machine:  Machine(le.Uint16(coff)),
		Stamp:    le.Uint32(coff[4:]),
		Length:   length,
		flags:    le.Uint16(coff[18:]),
		optional: at + 24,
	}
	h.DLL = h.flags&fileDLL != 0
	optional, err := readAt(r, h.optional, int(le.Uint16(coff[16:])))
	if err != nil {
		return nil, errors.New("optional header is cut")
	}
	if err := h.parseOptional(optional); err != nil {
		return nil, err
	}
	table, err := readAt(r, h.optional+int64(len(optional)), 40*int(le.Uint16(coff[2:])))
	if err != nil {
		return nil, errors.New("section table is cut")
	}
	h.parseSections(table)
	h.sectionsEndAt = h.optional + int64(len(optional)+len(table))
	return h, h.check()
}

// findHeaders returns the file offset of the PE signature.
func findHeaders(r io.ReaderAt, length int64) (int64, error) {
	dos, err := readAt(r, 0, 64)
	if err != nil || dos[0] != 'M' || dos[1] != 'Z' {
		return 0, notImage(err)
	}
	at := int64(le.Uint32(dos[60:]))
	if at+24 > length {
		return 0, ErrNotImage // a DOS program
	}
	signature, err := readAt(r, at, 4)
	if err != nil || string(signature) != "PE\x00\x00" {
		return 0, notImage(err)
	}
	return at, nil
}

// notImage turns the end of a short file into ErrNotImage, and lets real errors
// of reading pass.
func notImage(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrNotImage
	}
	return err
}

// readAt reads n bytes at an offset. Its callers bound n by 16-bit counts or by
// the length of the file.
func readAt(r io.ReaderAt, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); got < n {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

func (h *Header) parseOptional(b []byte) error {
	if len(b) < 2 {
		return errors.New("no optional header")
	}
	fixed := 96 // bytes before the directories
	switch magic := le.Uint16(b); magic {
	case optionalMagic32:
	case optionalMagic64:
		h.wide, fixed = true, 112
	default:
		return fmt.Errorf("unknown kind of optional header %#x", magic)
	}
	if len(b) < fixed {
		return errors.New("optional header is too short")
	}
	if h.wide {
		h.Base = le.Uint64(b[24:])
	} else {
		h.Base = uint64(le.Uint32(b[28:]))
	}
	h.sectionAlign, h.fileAlign = le.Uint32(b[32:]), le.Uint32(b[36:])
	h.Size, h.headers = le.Uint32(b[56:]), le.Uint32(b[60:])
	h.CheckSum, h.subsystem, h.dllFlags = le.Uint32(b[64:]), le.Uint16(b[68:]), le.Uint16(b[70:])
	h.dirsAt = h.optional + int64(fixed)
	count := le.Uint32(b[fixed-4:])
	if int64(count) > int64(len(b)-fixed)/8 {
		return fmt.Errorf("optional header has no room for %d directories", count)
	}
	h.dirCount = int(min(count, 16))
	for i := range h.dirCount {
		d := b[fixed+8*i:]
		h.dirs[i] = directory{le.Uint32(d), le.Uint32(d[4:])}
	}
	return nil
}

func (h *Header) parseSections(table []byte) {
	for ; len(table) > 0; table = table[40:] {
		h.sections = append(h.sections, section{
			name:   string(trimNUL(table[:8])),
			vsize:  le.Uint32(table[8:]),
			rva:    le.Uint32(table[12:]),
			rawLen: le.Uint32(table[16:]),
			raw:    le.Uint32(table[20:]),
		})
	}
}

func trimNUL(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// check reports the first contradiction in the headers: what would make it
// uncertain which bytes of the file become which bytes of the loaded image.
func (h *Header) check() error {
	wide := map[Machine]bool{I386: false, AMD64: true, ARM64: true}
	want, known := wide[h.Machine]
	switch {
	case !known:
		return &Fixed{RuleMachine, fmt.Sprintf("an image for %v", h.Machine)}
	case want != h.wide:
		return fmt.Errorf("%v with the optional header of the other width", h.Machine)
	case !powerOfTwo(h.sectionAlign) || !powerOfTwo(h.fileAlign) || h.fileAlign > h.sectionAlign:
		return fmt.Errorf("section alignment %#x, file alignment %#x", h.sectionAlign, h.fileAlign)
	case h.sectionsEndAt > int64(h.headers) || int64(h.headers) > h.Length:
		return fmt.Errorf("headers of %#x bytes do not hold the section table or are not in the file", h.headers)
	case h.Base > 1<<48 && !h.efi():
		return fmt.Errorf("image base %#x is no address of a process", h.Base)
	case h.Length > 1<<31:
		return errors.New("file is larger than 2 GiB")
	}
	if h.efi() {
		return nil // firmware's loaders are less strict, and it is left alone
	}
	if at := h.optional - 24; at < 64 || at%4 != 0 {
		return fmt.Errorf("PE header at %#x, inside the DOS header or not aligned", at)
	}
	return h.checkSections()
}

// efi reports whether firmware loads the image: its subsystem is one of the
// IMAGE_SUBSYSTEM_EFI_ constants.
func (h *Header) efi() bool { return h.subsystem >= 10 && h.subsystem <= 13 }

func powerOfTwo(v uint32) bool { return v != 0 && v&(v-1) == 0 }

// checkSections holds the sections to the rules of the loader: in the order of
// their addresses, not overlapping, covered by SizeOfImage.
func (h *Header) checkSections() error {
	end := roundUp(uint64(h.headers), uint64(h.sectionAlign))
	for _, s := range h.sections {
		switch {
		case uint64(s.rva) < end:
			return fmt.Errorf("section %q overlaps what comes before it", s.name)
		case s.rva%h.sectionAlign != 0:
			return fmt.Errorf("section %q is not aligned", s.name)
		}
		end = roundUp(uint64(s.rva)+uint64(s.loaded()), uint64(h.sectionAlign))
	}
	if roundUp(uint64(h.Size), uint64(h.sectionAlign)) != end {
		return fmt.Errorf("image size %#x, but its sections end at %#x", h.Size, end)
	}
	return nil
}

// loaded returns how many bytes the section takes in the loaded image. A
// virtual size of zero stands for that of the file.
func (s *section) loaded() uint32 {
	if s.vsize == 0 {
		return s.rawLen
	}
	return s.vsize
}

// mapped returns how many bytes of the file are seen in the loaded image: whole
// pages.
func (s *section) mapped() uint64 {
	return min(uint64(s.rawLen), roundUp(uint64(s.loaded()), page))
}

func roundUp(v, to uint64) uint64 { return (v + to - 1) &^ (to - 1) }

// offset returns where in the file n bytes of the loaded image come from.
func (h *Header) offset(rva, n uint64) (int64, bool) {
	i, found := slices.BinarySearchFunc(h.sections, rva, func(s section, rva uint64) int { return cmp.Compare(uint64(s.rva), rva) })
	if !found {
		i-- // the last that begins before
	}
	if i < 0 || rva+n > uint64(h.sections[i].rva)+h.sections[i].mapped() {
		return 0, false
	}
	off := int64(h.sections[i].raw) + int64(rva-uint64(h.sections[i].rva))
	return off, off+int64(n) <= h.Length
}

// asks returns which of the flags the image has that ask the loader to choose
// another base at random, and may be cleared: ARM64 does not go without
// DYNAMICBASE (link's /DYNAMICBASE).
func (h *Header) asks() uint16 {
	if h.Machine == ARM64 {
		return h.dllFlags & dllHighEntropy
	}
	return h.dllFlags & (dllDynamicBase | dllHighEntropy)
}

// span returns what the image takes at its base.
func (h *Header) span() Range { return spanAt(h.Base, h.Size) }

// Record returns the record of an image that lies where its header says.
func (h *Header) Record(name string) Record {
	return Record{Name: name, Machine: h.Machine, Base: h.Base, Size: h.Size, Reserved: h.span().High - h.span().Low}
}

// Limits returns the range of addresses an image may have by its machine and
// flags: nothing below 64 KiB, which is never mapped; the 2 GiB of a 32-bit
// process unless the image says it can do with 4; the 128 TiB of a 64-bit
// process, less the 64 KiB that are never mapped at its top. A 64-bit program
// that is not large address aware gets 2 GiB as well.
func (h *Header) Limits() Range {
	large := h.flags&fileLargeAddress != 0
	switch {
	case !h.wide && large:
		return Range{Granularity, 1<<32 - Granularity}
	case !h.wide, !h.DLL && !large:
		return Range{Granularity, 1 << 31}
	}
	return Range{Granularity, 1<<47 - Granularity}
}
