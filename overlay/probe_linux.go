package overlay

import (
	"context"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// Probe builds the whole sandbox, has it attached in its namespaces, and runs
// nothing in it.
func (Method) Probe(ctx context.Context) error { return probe(ctx, flavour{}) }

func probe(ctx context.Context, f flavour) error {
	r, err := prepare("/", "", false, f)
	if err == nil {
		plan := sandbox.Plan{Mounts: r.mounts}
		_, err = sandbox.Run(ctx, plan, sandbox.Files{Mounts: r.files})
	}
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return &capture.Unavailable{Reason: err, Hint: here().hint(err)}
}
