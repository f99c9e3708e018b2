package rebase

// A mark is one range on an address map.
type mark struct {
	Range
	name  string
	layer int
	clash bool // overlaps another mark
}

// marks returns the map of the items as they are now.
func (l *layout) marks() []mark { return nil }
