package overlay

import (
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	_ "github.com/sandbox-install/sandbox-install/trace" // who makes a Watcher
)

func TestSuite(t *testing.T) { capturetest.Run(t, Method{}) }

func TestFuseSuite(t *testing.T) { capturetest.Run(t, Fuse{}) }

func TestProvenance(t *testing.T) {
	for _, m := range []capture.Method{Method{}, Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) { capturetest.Provenance(t, m, true) })
	}
}
