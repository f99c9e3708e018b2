//go:build !(linux && amd64)

package redirect

import (
	"context"
	"errors"
	"runtime"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Probe says that this system has another way to call its kernel.
func (*Method) Probe(context.Context) error {
	return &capture.Unavailable{Reason: errors.New("redirect is of Linux on x86-64, and this is " + runtime.GOOS + "/" + runtime.GOARCH)}
}

// Run does what Probe says.
func (m *Method) Run(ctx context.Context, _ capture.Command) (*capture.Result, error) {
	return nil, m.Probe(ctx)
}
