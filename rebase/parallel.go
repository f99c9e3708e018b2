package rebase

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// each calls do for all items, several at a time: twice as many as there are
// processors, since each waits for the disk in turn. It stops early, with an
// error, only when ctx is cancelled.
func each[T any](ctx context.Context, items []T, do func(T)) error {
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			do(item)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
