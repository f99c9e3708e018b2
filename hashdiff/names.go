package hashdiff

// A name is what a directory holds.
type name struct {
	string
	kind kind
}

// kind is what a directory tells of a name without looking closer.
type kind uint8

const (
	kindUnknown kind = iota
	kindFile         // anything but a directory
	kindDir
)
