//go:build linux

package sandbox

import (
	"errors"
	"fmt"
)

func initContainer() {}

// runContainer can not: libcontainer enters its namespaces in C.
func (o *order) runContainer() error {
	return &StepError{"start libcontainer", fmt.Errorf("this program was built without cgo: %w", errors.ErrUnsupported)}
}
