//go:build amd64

package redirect

import (
	"os"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	if dir, ok := os.LookupEnv(confinedVariable); ok {
		confinedMain(dir)
		return
	}
	if text, ok := os.LookupEnv(disturbVariable); ok {
		disturbMain(text)
		return
	}
	if os.Getenv(machineVariable) != "" {
		machineMain()
		return
	}
	need.OwnMounts()
	os.Exit(m.Run())
}

func TestSuite(t *testing.T) { capturetest.Run(t, &Method{}) }

func TestProvenance(t *testing.T) { capturetest.Provenance(t, &Method{}, false) }
