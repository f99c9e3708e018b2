package overlay

import (
	"context"
	"os"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/capture"
)

// BenchmarkSetUp is what a run costs whatever its command is: survey, mounts,
// init, and taking it all down.
func BenchmarkSetUp(b *testing.B) {
	need.Root(b)
	for b.Loop() {
		r, err := Method{}.Run(context.Background(), capture.Command{Args: []string{"true"}, Env: os.Environ(), Dir: "/"})
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
