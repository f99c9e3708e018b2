//go:build !linux

package capture

import "os"

// LockedStaging makes a staging directory in dir, whose name begins with prefix, and opens
// it. There is no lock: what a killed run left stays.
func LockedStaging(dir, prefix string) (*os.File, Above, error) {
	path, above, err := MkdirStaging(dir, prefix)
	if err != nil {
		return nil, Above{}, err
	}
	f, err := os.Open(path)
	return f, above, err
}

// SweepStaging removes nothing: nothing tells whose run is alive.
func SweepStaging(string, string) error { return nil }
