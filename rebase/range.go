package rebase

import (
	"fmt"
	"strconv"
	"strings"
)

// A Range is the addresses from Low up to, but not including, High.
type Range struct{ Low, High uint64 }

// String returns the range as ParseRange reads it.
func (r Range) String() string { return fmt.Sprintf("%#x-%#x", r.Low, r.High) }

// ParseRange reads LOW-HIGH, numbers in Go syntax (0x for hexadecimal).
func ParseRange(s string) (Range, error) {
	low, high, ok := strings.Cut(s, "-")
	if !ok {
		return Range{}, fmt.Errorf("range %q: want LOW-HIGH", s)
	}
	var r Range
	var err error
	if r.Low, err = strconv.ParseUint(low, 0, 64); err != nil {
		return Range{}, fmt.Errorf("range %q: %w", s, err)
	}
	if r.High, err = strconv.ParseUint(high, 0, 64); err != nil {
		return Range{}, fmt.Errorf("range %q: %w", s, err)
	}
	if r.Low >= r.High {
		return Range{}, fmt.Errorf("range %q: empty", s)
	}
	return r, nil
}

func (r Range) overlaps(o Range) bool { return r.Low < o.High && o.Low < r.High }
func (r Range) within(o Range) bool   { return o.Low <= r.Low && r.High <= o.High }
func (r Range) intersect(o Range) Range {
	return Range{max(r.Low, o.Low), min(r.High, o.High)}
}

// spanAt returns what an image takes at a base, in whole slots. At a base that
// is not aligned to a slot it touches one more.
func spanAt(base uint64, size uint32) Range {
	return Range{base &^ (Granularity - 1), roundUp(base+uint64(size), Granularity)}
}
