//go:build !linux

package hashdiff

// A family can not be followed on this system.
type family struct{}

func adopt() (family, error) { return family{}, nil }

func (family) stop() ([]process, error) { return nil, nil }
