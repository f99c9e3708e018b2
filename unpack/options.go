package unpack

// DefaultState is the state directory of a root, if Options names no other.
const DefaultState = "var/lib/sandbox-install"

// Options say how a root is opened.
type Options struct {
	// State is the state directory, an entry path; "" is DefaultState.
	State string
}
