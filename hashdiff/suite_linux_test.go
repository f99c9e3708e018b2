package hashdiff

import (
	"context"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
)

// scoped is the method on the live system, watching the directory it starts in.
type scoped struct{ Method }

func (m *scoped) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	return (&Method{Scope: []string{cmd.Dir}, RollBack: true}).Run(ctx, cmd)
}

// MakesAnew tells the suite that what is rolled back may have another inode.
func (m *scoped) MakesAnew() {}

func TestSuite(t *testing.T) { capturetest.Run(t, &scoped{}) }

func TestProvenance(t *testing.T) { capturetest.Provenance(t, &Method{}, false) }
