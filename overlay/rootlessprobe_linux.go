package overlay

import (
	"context"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Probe builds the whole sandbox and runs nothing in it.
func (Rootless) Probe(ctx context.Context) error {
	return probeRootless(ctx, flavour{userxattr: true})
}

func probeRootless(ctx context.Context, f flavour) error {
	c, _, err := sandboxed(ctx, "/", capture.Command{}, f)
	if err == nil {
		err = c.close()
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return rootlessError(err)
}
