package rebase

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Record is what a database keeps of one image.
type Record struct {
	Name     string // absolute path the image has, or will have, when it is used
	Machine  Machine
	Base     uint64
	Size     uint32 // of the loaded image
	Reserved uint64 // bytes kept for it from Base up, whole slots

	// File is the file as it is at Base. An rBiI database does not hold it.
	File *Identity
	// Was is what the file was before it was moved; nil if it never was.
	Was *Past
}

// An Identity tells one content of a file from another.
type Identity struct {
	Length   int64
	Stamp    uint32 // TimeDateStamp
	CheckSum uint32
	Digest   plist.Digest
}

// A Past is an Original with the digest its restored bytes must have.
type Past struct {
	Original
	Digest plist.Digest
}

// Span returns the addresses kept for the image, from the slot it begins in.
func (r *Record) Span() Range {
	span := r.exact()
	return Range{span.Low, max(span.High, span.Low+r.Reserved)}
}

// exact returns what the image itself takes of its Span.
func (r *Record) exact() Range { return spanAt(r.Base, r.Size) }

// matches reports whether a file with these headers is most likely the recorded
// one: all that the record knows of it is equal, but the content is not read.
// A checksum, where there is one, covers every byte.
func (r *Record) matches(h *Header) bool {
	if r.Machine != h.Machine || r.Base != h.Base || r.Size != h.Size {
		return false
	}
	id := r.File
	return id == nil || id.Length == h.Length && id.Stamp == h.Stamp && id.CheckSum == h.CheckSum
}

// equal reports whether two records say the same.
func (r *Record) equal(o *Record) bool {
	return r.Name == o.Name && r.Machine == o.Machine && r.Base == o.Base &&
		r.Size == o.Size && r.Reserved == o.Reserved &&
		equalPointed(r.File, o.File, func(a, b *Identity) bool { return *a == *b }) &&
		equalPointed(r.Was, o.Was, (*Past).equal)
}

func (p *Past) equal(o *Past) bool {
	return p.Base == o.Base && p.CheckSum == o.CheckSum && p.Cleared == o.Cleared && p.Digest == o.Digest && string(p.Signature) == string(o.Signature)
}

func equalPointed[T any](a, b *T, equal func(a, b *T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(a, b)
}

// check reports what no record may say.
func (r *Record) check() error {
	switch {
	case r.Name == "" || strings.ContainsRune(r.Name, 0):
		return fmt.Errorf("name %q: empty, or with a NUL byte", r.Name)
	case r.Base > 1<<48:
		return fmt.Errorf("%s: base %#x is no address of a process", r.Name, r.Base)
	case r.File != nil && r.File.Length < 0:
		return fmt.Errorf("%s: length %d", r.Name, r.File.Length)
	case r.Reserved%Granularity != 0 || r.Reserved > 1<<32:
		return fmt.Errorf("%s: %#x bytes are not whole slots", r.Name, r.Reserved)
	}
	return nil
}

func compareNames(a, b Record) int { return cmp.Compare(a.Name, b.Name) }

// sortRecords sorts by name and refuses a name that is there twice.
func sortRecords(records []Record) error {
	slices.SortStableFunc(records, compareNames)
	for i := 1; i < len(records); i++ {
		if records[i].Name == records[i-1].Name {
			return fmt.Errorf("%s: recorded twice", records[i].Name)
		}
	}
	return nil
}

var errCut = errors.New("the database is cut")
