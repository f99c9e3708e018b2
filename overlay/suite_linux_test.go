package overlay

import (
	"testing"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
)

func TestSuite(t *testing.T) { capturetest.Run(t, Method{}) }

func TestFuseSuite(t *testing.T) { capturetest.Run(t, Fuse{}) }
