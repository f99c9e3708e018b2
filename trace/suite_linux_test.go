package trace

import (
	"os"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	if text, ok := os.LookupEnv(crashVariable); ok {
		crashMain(text)
	}
	if text, ok := os.LookupEnv(stressVariable); ok {
		stressMain(text)
	}
	if text, ok := os.LookupEnv(disturbVariable); ok {
		disturbMain(text)
	}
	need.OwnMounts()
	os.Exit(m.Run())
}

// anew is the method as the suite is to see it.
type anew struct{ Method }

// MakesAnew tells the suite that what is rolled back may have another inode.
func (*anew) MakesAnew() {}

func TestSuite(t *testing.T) { capturetest.Run(t, &anew{}) }

func TestProvenance(t *testing.T) { capturetest.Provenance(t, &Method{}, true) }
