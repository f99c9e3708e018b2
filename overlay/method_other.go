//go:build !linux

package overlay

import (
	"context"
	"errors"
	"runtime"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Method captures under kernel overlayfs, which only Linux has.
type Method struct{}

// Name returns the method's name.
func (Method) Name() string { return "overlay" }

// Probe says that there is no overlayfs here.
func (Method) Probe(context.Context) error {
	return &capture.Unavailable{Reason: errors.New("overlayfs is a file system of Linux, and this is " + runtime.GOOS)}
}

// Run does what Probe says.
func (m Method) Run(ctx context.Context, _ capture.Command) (*capture.Result, error) {
	return nil, m.Probe(ctx)
}

// Rootless captures under an overlay in a user namespace, which only Linux has.
type Rootless struct{ Method }

// Name returns the method's name.
func (Rootless) Name() string { return "rootless" }

// Fuse captures under unions over FUSE with the descriptors of mounts, which only Linux
// has.
type Fuse struct{ Method }

// Name returns the method's name.
func (Fuse) Name() string { return "fuse" }
