package rebase

import "slices"

// A space is the taken part of an address space: ranges in order that neither
// overlap nor touch.
type space struct{ taken []Range }

// claim takes a range, whatever is there already.
func (s *space) claim(r Range) {
	if r.Low >= r.High {
		return
	}
	i, _ := slices.BinarySearchFunc(s.taken, r.Low, func(t Range, low uint64) int {
		if t.High < low {
			return -1
		}
		return +1
	})
	j := i
	for j < len(s.taken) && s.taken[j].Low <= r.High {
		r = Range{min(r.Low, s.taken[j].Low), max(r.High, s.taken[j].High)}
		j++
	}
	s.taken = slices.Replace(s.taken, i, j, r)
}

// free reports whether nothing of a range is taken.
func (s *space) free(r Range) bool {
	i, _ := slices.BinarySearchFunc(s.taken, r.Low, func(t Range, low uint64) int {
		if t.High <= low {
			return -1
		}
		return +1
	})
	return i == len(s.taken) || s.taken[i].Low >= r.High
}

// fit returns the highest address in room with size free bytes.
func (s *space) fit(size uint64, room Range) (uint64, bool) {
	high := room.High
	for _, t := range slices.Backward(s.taken) {
		if t.Low >= high {
			continue
		}
		if low := max(t.High, room.Low); low < high && high-low >= size {
			return high - size, true
		}
		high = t.Low
	}
	return high - size, high > room.Low && high-room.Low >= size
}
