//go:build linux && !cgo

package sandbox

import (
	"errors"
	"fmt"
)

// CheckContainer says why Plan.Container can not be carried out.
func CheckContainer() error {
	return fmt.Errorf("libcontainer enters its namespaces in C, and this program was built without cgo: %w", errors.ErrUnsupported)
}

func initContainer() {}

func (o *order) runContainer() error { return CheckContainer() }
