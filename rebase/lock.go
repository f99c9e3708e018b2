package rebase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A Lock keeps others from changing a database. It is held on a file beside the
// database, since the database itself is replaced; that file stays.
type Lock struct{ file *os.File }

// errLocked says that somebody else holds the lock.
var errLocked = errors.New("the lock is held")

// AcquireLock waits for the lock of the database at path.
func AcquireLock(ctx context.Context, path string) (*Lock, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the rebase database: %w", err)
	}
	for {
		if err = tryLock(f); err == nil {
			return &Lock{f}, nil
		}
		if !errors.Is(err, errLocked) {
			break
		}
		select {
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", errLocked, ctx.Err())
			return nil, errors.Join(fmt.Errorf("lock the rebase database %s: %w", path, err), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("lock the rebase database %s: %w", path, err), f.Close())
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }
