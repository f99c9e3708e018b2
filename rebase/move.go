package rebase

import (
	"bytes"
	"errors"
	"fmt"
)

// An Original is what an image lost when it was moved: with it, Restore gives
// back the bytes there were.
type Original struct {
	Base      uint64
	CheckSum  uint32
	Cleared   uint16 // the DllCharacteristics that were cleared
	Signature []byte // the certificate table that was dropped, if it was
}

// errSigned is the rule about signatures: none is ever left false.
var errSigned = &Fixed{RuleSigned, "it is signed, and the signature would become false"}

// Move returns the bytes of an image as they would have been linked for another
// base. The time stamp is kept; a checksum is made right, but one that was not
// set stays zero. A signature is refused: see Unsign.
//
// Preconditions: file is what m was read from.
func (m *Image) Move(file []byte, base uint64) ([]byte, error) {
	if m.Signed() {
		return nil, errSigned
	}
	if base%Granularity != 0 {
		return nil, fmt.Errorf("base %#x is not a multiple of 64 KiB", base)
	}
	if to := (Range{base, base + uint64(m.Size)}); !to.within(m.limits()) {
		return nil, fmt.Errorf("the image would lie at %v, outside %v", to, m.limits())
	}
	moved := bytes.Clone(file)
	m.shift(moved, base)
	if m.CheckSum != 0 {
		le.PutUint32(moved[m.checksumAt():], checksum(moved, m.checksumAt()))
	}
	return moved, nil
}

// limits are those of the header, or the lowest 4 GiB for an image that holds
// 32-bit addresses.
func (m *Image) limits() Range {
	limits := m.Limits()
	if m.below4G() {
		limits.High = min(limits.High, 1<<32)
	}
	return limits
}

// shift adds the difference of the bases to all addresses, and sets the base.
func (m *Image) shift(file []byte, base uint64) {
	by := base - m.Base
	for _, f := range m.fixups {
		if f.wide {
			le.PutUint64(file[f.at:], le.Uint64(file[f.at:])+by)
		} else {
			le.PutUint32(file[f.at:], le.Uint32(file[f.at:])+uint32(by))
		}
	}
	if m.wide {
		le.PutUint64(file[m.baseAt():], base)
	} else {
		le.PutUint32(file[m.baseAt():], uint32(base))
	}
}

func (h *Header) checksumAt() int64 { return h.optional + 64 }

func (h *Header) setDLLFlags(file []byte, flags uint16) {
	le.PutUint16(file[h.optional+70:], flags)
}

func (h *Header) baseAt() int64 {
	if h.wide {
		return h.optional + 24
	}
	return h.optional + 28
}

// Verify reports how moved is not exactly the image in file at another base:
// every address differs by the shift, the checksum is right, and all else is
// equal. It does not rely on how Move works: it reads both images anew.
func Verify(file, moved []byte) error {
	before, err := Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	after, err := Read(bytes.NewReader(moved), int64(len(moved)))
	if err != nil {
		return fmt.Errorf("after the move: %w", err)
	}
	if len(file) != len(moved) || len(before.fixups) != len(after.fixups) {
		return errors.New("length or number of fixups changed")
	}
	if want := checksum(moved, after.checksumAt()); after.CheckSum != want && (before.CheckSum != 0 || after.CheckSum != 0) {
		return fmt.Errorf("checksum %#x, want %#x", after.CheckSum, want)
	}
	return before.compare(file, moved, after.Base-before.Base)
}

// compare walks both files from one place that may differ to the next.
func (m *Image) compare(file, moved []byte, by uint64) error {
	done := int64(0)
	equalUntil := func(at, next int64) error {
		if !bytes.Equal(file[done:at], moved[done:at]) {
			return fmt.Errorf("a byte between %#x and %#x of the file changed that is no address", done, at)
		}
		done = next
		return nil
	}
	if err := equalUntil(m.baseAt(), m.optional+32); err != nil { // the base ends there in both widths
		return err
	}
	if err := equalUntil(m.checksumAt(), m.checksumAt()+4); err != nil {
		return err
	}
	for _, f := range m.fixups {
		if err := equalUntil(f.at, f.end()); err != nil {
			return err
		}
		if !f.shiftedBy(by, file, moved) {
			return fmt.Errorf("the address at %#x of the file is not shifted by %#x", f.at, by)
		}
	}
	return equalUntil(int64(len(file)), 0)
}

func (f fixup) shiftedBy(by uint64, file, moved []byte) bool {
	if f.wide {
		return le.Uint64(moved[f.at:])-le.Uint64(file[f.at:]) == by
	}
	return le.Uint32(moved[f.at:])-le.Uint32(file[f.at:]) == uint32(by)
}

// Restore gives back the bytes an image had before it was moved.
func Restore(moved []byte, was Original) ([]byte, error) {
	m, err := Read(bytes.NewReader(moved), int64(len(moved)))
	if err != nil {
		return nil, err
	}
	if was.Signature != nil && m.dirCount <= dirCertificate {
		return nil, errors.New("it has no room for the signature it is said to have had")
	}
	file := append(bytes.Clone(moved), was.Signature...)
	m.shift(file, was.Base)
	m.setDLLFlags(file, m.dllFlags|was.Cleared)
	le.PutUint32(file[m.checksumAt():], was.CheckSum)
	if was.Signature != nil {
		m.setCertificates(file, directory{uint32(len(moved)), uint32(len(was.Signature))})
	}
	return file, nil
}

// Unsign returns the file without its signature, and the signature as Restore
// wants it. The checksum, now wrong, is left to Move.
func (h *Header) Unsign(file []byte) (unsigned, signature []byte, err error) {
	if fixed := h.checkSignature(); fixed != nil {
		return nil, nil, fixed
	}
	at := h.dirs[dirCertificate].rva
	unsigned = bytes.Clone(file[:at])
	h.setCertificates(unsigned, directory{})
	return unsigned, bytes.Clone(file[at:]), nil
}

// checkSignature reports why a signature can not be dropped, or nil.
func (h *Header) checkSignature() *Fixed {
	dir := h.dirs[dirCertificate] // unlike the others, it holds a file offset
	at, end := int64(dir.rva), int64(dir.rva)+int64(dir.size)
	if h.dllFlags&dllIntegrity != 0 {
		return &Fixed{RuleSigned, "it is signed, and asks the loader to insist on that"}
	}
	if end != h.Length || at < h.sectionsEndAt {
		return &Fixed{RuleSigned, "it is signed, and the signature is not the end of the file"}
	}
	for _, s := range h.sections {
		if s.rawLen > 0 && int64(s.raw)+int64(s.rawLen) > at {
			return &Fixed{RuleSigned, "it is signed, and the signature overlaps a section"}
		}
	}
	return nil
}

func (h *Header) setCertificates(file []byte, dir directory) {
	at := h.dirsAt + 8*dirCertificate
	le.PutUint32(file[at:], dir.rva)
	le.PutUint32(file[at+4:], dir.size)
}
