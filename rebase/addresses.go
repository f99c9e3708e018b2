package rebase

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// checkAddresses refuses an image in which an address that the format itself
// has a place for is not among the fixups: it would be left behind. The loader
// would leave it behind as well, but only when it has to move the image.
//
// The places are those of IMAGE_TLS_DIRECTORY, IMAGE_LOAD_CONFIG_DIRECTORY and,
// before Visual C++ 7, ImgDelayDescr (winnt.h, delayimp.h).
func (m *Image) checkAddresses(r io.ReaderAt) error {
	for _, check := range []func(io.ReaderAt) error{m.checkTLS, m.checkLoadConfig, m.checkDelayImports} {
		if err := check(r); err != nil {
			return err
		}
	}
	return nil
}

func (m *Image) checkTLS(r io.ReaderAt) error {
	dir := m.dirs[dirTLS]
	if dir.size == 0 {
		return nil
	}
	const pointers = 4 // begin and end of the template, index, callbacks
	for i := range uint64(pointers) {
		if err := m.checkFixed(r, "TLS directory", uint64(dir.rva)+i*m.pointer(), m.pointer()); err != nil {
			return err
		}
	}
	return nil
}

// Offsets of the pointers in a load configuration, of 32 and of 64 bits.
var (
	configPointers32 = []uint64{32, 56, 60, 64, 72, 76, 80, 104, 112, 120, 128, 132, 144, 156, 160, 164, 172, 176, 180, 184, 188}
	configPointers64 = []uint64{40, 80, 88, 96, 112, 120, 128, 160, 176, 192, 208, 216, 232, 248, 256, 264, 280, 288, 296, 304, 312}
)

// checkLoadConfig also refuses an image with code for two machines (ARM64X,
// ARM64EC, CHPE), which has metadata for that. To make it one for the other
// machine the loader writes values into it that are in no relocation table,
// addresses among them.
func (m *Image) checkLoadConfig(r io.ReaderAt) error {
	dir := m.dirs[dirLoadConfig]
	if dir.size == 0 {
		return nil
	}
	pointers, metadata := configPointers32, uint64(124) // CHPEMetadataPointer
	if m.wide {
		pointers, metadata = configPointers64, 200
	}
	length, err := m.plain(r, uint64(dir.rva), 4) // that of the directory was once fixed
	if err != nil {
		return err
	}
	if length >= metadata+m.pointer() {
		if p, err := m.plain(r, uint64(dir.rva)+metadata, m.pointer()); p != 0 || err != nil {
			return errors.Join(err, errors.New("it holds code for two machines"))
		}
	}
	for _, at := range pointers {
		if at+m.pointer() > length {
			break
		}
		if err := m.checkFixed(r, "load configuration", uint64(dir.rva)+at, m.pointer()); err != nil {
			return err
		}
	}
	return nil
}

// checkDelayImports looks at the descriptors of 32 bytes: attributes, the name,
// five more, a time stamp. They are relative to the image unless bit 0 of the
// attributes is clear.
func (m *Image) checkDelayImports(r io.ReaderAt) error {
	dir := m.dirs[dirDelayImport]
	for at := uint64(dir.rva); at+32 <= uint64(dir.rva)+uint64(dir.size); at += 32 {
		attributes, err := m.plain(r, at, 4)
		if err != nil {
			return err
		}
		name, err := m.value(r, at+4, 4)
		if err != nil {
			return err
		}
		for i := at + 4; i < at+28; i += 4 {
			if attributes&1 != 0 || name == 0 {
				_, err = m.plain(r, i, 4)
			} else {
				err = m.checkFixed(r, "delay import", i, 4)
			}
			if err != nil {
				return err
			}
		}
		if name == 0 {
			break
		}
	}
	return nil
}

// checkFixed refuses an address, if there is one, without its fixup.
func (m *Image) checkFixed(r io.ReaderAt, where string, rva, width uint64) error {
	v, err := m.value(r, rva, width)
	if err != nil {
		return err
	}
	at, _ := m.offset(rva, width)
	f, found := m.fixupIn(at, at+int64(width))
	if v == 0 && !found || found && f.at == at && f.width() == width {
		return nil
	}
	return fmt.Errorf("no fixup for an address in its %s, at %#x", where, rva)
}

// plain reads a number that a move must not change.
func (m *Image) plain(r io.ReaderAt, rva, width uint64) (uint64, error) {
	v, err := m.value(r, rva, width)
	if err != nil {
		return 0, err
	}
	at, _ := m.offset(rva, width)
	if _, found := m.fixupIn(at, at+int64(width)); found {
		return 0, fmt.Errorf("a fixup for what is no address, at %#x", rva)
	}
	return v, nil
}

// fixupIn returns the first fixup that has a byte in a part of the file.
func (m *Image) fixupIn(from, to int64) (fixup, bool) {
	i, _ := slices.BinarySearchFunc(m.fixups, from, func(f fixup, from int64) int { return cmp.Compare(f.end(), from+1) })
	if i < len(m.fixups) && m.fixups[i].at < to {
		return m.fixups[i], true
	}
	return fixup{}, false
}

// pointer returns the width of an address.
func (h *Header) pointer() uint64 {
	if h.wide {
		return 8
	}
	return 4
}

// value reads one number of 4 or 8 bytes of the loaded image.
func (h *Header) value(r io.ReaderAt, rva, width uint64) (uint64, error) {
	b, err := h.read(r, rva, width)
	if err != nil {
		return 0, err
	}
	if width == 8 {
		return le.Uint64(b), nil
	}
	return uint64(le.Uint32(b)), nil
}
