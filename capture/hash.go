package capture

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/sandbox-install/sandbox-install/plist"
)

// hasher is what one file needs to be hashed, kept for the next one.
type hasher struct {
	state *blake3.Hasher
	buf   [128 << 10]byte
}

var hashers = sync.Pool{New: func() any { return &hasher{state: blake3.New()} }}

// Digest returns the BLAKE3-256 of all that r has to read.
func Digest(r io.Reader) (d plist.Digest, err error) {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.state.Reset()
	for {
		n, err := r.Read(h.buf[:])
		_, _ = h.state.Write(h.buf[:n]) // never fails
		if err == io.EOF {
			h.state.Sum(d[:0])
			return d, nil
		}
		if err != nil {
			return d, err
		}
	}
}

// batch is how many neighbours in a list one worker takes at once: enough for
// them to share their directory, few enough for the last worker not to lag.
const batch = 32

// Parallel calls do for the numbers below n, each once, in runs of neighbours
// [from, to), several at once. It is for work that waits for a disk as much as
// for a processor. The first error ends it.
func Parallel(ctx context.Context, n int, do func(from, to int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(2*runtime.GOMAXPROCS(0), (n+batch-1)/batch) {
		group.Go(func() error {
			for {
				to := int(next.Add(batch))
				from := to - batch
				if from >= n {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(from, min(to, n)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
