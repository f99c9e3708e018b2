package rebase

import (
	"bytes"
	"errors"
	"fmt"
)

// The rBiI format is that of Cygwin's rebase: a header of 28 bytes, an entry of
// 32 bytes an image, then the names. All numbers are little-endian. It holds one
// machine, no digests, and nothing to undo a move with.
//
//	header: magic[4] machine[2] version[2] base[8] offset[4] down[4] count[4]
//	entry:  garbage[8] nameLength[4] base[8] size[4] slot[4] flags[4]
//
// Cygwin's tool leaves a heap pointer in the first entry field and random bits in
// the last; they are written as zeros here.

const (
	rbiiMagic   = "rBiI"
	rbiiVersion = 1
	rbiiHeadLen = 28
	rbiiLen     = 32
)

// An rbiiHeader is what Cygwin's tool compares with its own options.
type rbiiHeader struct {
	machine Machine
	base    uint64 // ceiling images are placed below
	offset  uint32 // extra gap between images
	down    uint32
}

func parseRBII(b []byte) (rbiiHeader, []Record, error) {
	if len(b) < rbiiHeadLen {
		return rbiiHeader{}, nil, errCut
	}
	if v := le.Uint16(b[6:]); v != rbiiVersion {
		return rbiiHeader{}, nil, fmt.Errorf("rBiI version %d is not supported", v)
	}
	h := rbiiHeader{Machine(le.Uint16(b[4:])), le.Uint64(b[8:]), le.Uint32(b[16:]), le.Uint32(b[20:])}
	if h.machine != I386 && h.machine != AMD64 {
		return h, nil, fmt.Errorf("rBiI database for %v", h.machine)
	}
	count := uint64(le.Uint32(b[24:]))
	if count > uint64(len(b)-rbiiHeadLen)/rbiiLen {
		return h, nil, errCut
	}
	entries, names := b[rbiiHeadLen:], b[rbiiHeadLen+count*rbiiLen:]
	records := make([]Record, count)
	for i := range records {
		var err error
		if names, err = records[i].parseRBII(entries[i*rbiiLen:], names); err != nil {
			return h, nil, err
		}
		records[i].Machine = h.machine
	}
	if len(names) > 0 {
		return h, nil, fmt.Errorf("%d bytes after the last name", len(names))
	}
	return h, records, sortRecords(records)
}

// parseRBII reads one entry and its name, and returns the names that follow.
func (r *Record) parseRBII(entry, names []byte) ([]byte, error) {
	n := uint64(le.Uint32(entry[8:]))
	if n == 0 || n > uint64(len(names)) {
		return nil, errCut
	}
	if bytes.IndexByte(names[:n], 0) != int(n-1) {
		return nil, errors.New("a name does not end with its only NUL byte")
	}
	r.Name = string(names[:n-1])
	r.Base = le.Uint64(entry[12:])
	r.Size = le.Uint32(entry[20:])
	r.Reserved = uint64(le.Uint32(entry[24:]))
	return names[n:], r.check()
}

func (h rbiiHeader) encode(records []Record) ([]byte, error) {
	b := []byte(rbiiMagic)
	b = le.AppendUint16(b, uint16(h.machine))
	b = le.AppendUint16(b, rbiiVersion)
	b = le.AppendUint64(b, h.base)
	b = le.AppendUint32(b, h.offset)
	b = le.AppendUint32(b, h.down)
	b = le.AppendUint32(b, uint32(len(records)))
	for i := range records {
		r := &records[i]
		if r.Machine != h.machine || r.Reserved > 1<<32-1 {
			return nil, fmt.Errorf("%s: an rBiI database for %v can not hold it", r.Name, h.machine)
		}
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(b, uint32(len(r.Name)+1))
		b = le.AppendUint64(b, r.Base)
		b = le.AppendUint32(b, r.Size)
		b = le.AppendUint32(b, uint32(r.Reserved))
		b = le.AppendUint32(b, 0)
	}
	for i := range records {
		b = append(append(b, records[i].Name...), 0)
	}
	return b, nil
}
