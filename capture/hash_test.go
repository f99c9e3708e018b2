package capture

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
)

// TestDigest uses vectors of the BLAKE3 team (test_vectors.json): the input's byte
// i is i modulo 251.
func TestDigest(t *testing.T) {
	for size, want := range map[int]string{
		0:      "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:      "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		1024:   "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
		102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
	} {
		input := make([]byte, size)
		for i := range input {
			input[i] = byte(i % 251)
		}
		for _, r := range []io.Reader{bytes.NewReader(input), iotest.HalfReader(bytes.NewReader(input)), iotest.DataErrReader(bytes.NewReader(input))} {
			if got, err := Digest(r); err != nil || got.String() != want {
				t.Errorf("%d bytes: %v, %v, want %s", size, got, err, want)
			}
		}
	}
	if _, err := Digest(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestParallel(t *testing.T) {
	for _, n := range []int{0, 1, batch - 1, batch, batch + 1, 1000} {
		var mu sync.Mutex
		seen := make([]int, n)
		err := Parallel(t.Context(), n, func(from, to int) error {
			mu.Lock()
			defer mu.Unlock()
			for i := from; i < to; i++ {
				seen[i]++
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for i, times := range seen {
			if times != 1 {
				t.Errorf("%d of %d done %d times", i, n, times)
			}
		}
	}
}

func TestParallelEnds(t *testing.T) {
	err := Parallel(t.Context(), 1000*batch, func(from, _ int) error {
		if from > 100*batch {
			t.Error("goes on after an error")
		}
		return io.ErrClosedPipe
	})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Parallel(ctx, 1, func(int, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}
