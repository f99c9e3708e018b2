//go:build !linux

package unpack

import (
	"errors"
	"fmt"
)

// A Root is a directory that packages are unpacked over. There are none here yet.
type Root struct{}

// Open says why there are no roots on this system: nothing else resolves a path
// below a directory for sure, and swaps two names at once.
func Open(dir string, _ Options) (*Root, error) {
	return nil, fmt.Errorf("%s: unpack needs openat2(2) and renameat2(2) of Linux: %w", dir, errors.ErrUnsupported)
}
