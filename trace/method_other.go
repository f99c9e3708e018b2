//go:build !linux

package trace

import (
	"context"
	"errors"
	"runtime"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Method captures by seccomp user notification, which only Linux has.
type Method struct{ NoRollBack bool }

// Name returns the method's name.
func (*Method) Name() string { return "seccomp" }

// Probe says that there is no seccomp here.
func (*Method) Probe(context.Context) error {
	return &capture.Unavailable{Reason: errors.New("seccomp is of Linux, and this is " + runtime.GOOS)}
}

// Run does what Probe says.
func (m *Method) Run(ctx context.Context, _ capture.Command) (*capture.Result, error) {
	return nil, m.Probe(ctx)
}

// Recover finds nothing: no run was begun.
func Recover(context.Context, string) ([]string, error) { return nil, nil }
