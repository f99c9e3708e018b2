package unpack

// DefaultState is the state directory of a root, if Options names no other.
const DefaultState = "var/lib/sandbox-install"

// Options say how a root is opened.
type Options struct {
	// State is the state directory, an entry path; "" is DefaultState.
	State string

	// Base are host paths of state directories of layers below: packages there own
	// paths of the root too. They are only read.
	Base []string
}
