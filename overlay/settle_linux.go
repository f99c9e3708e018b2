package overlay

import (
	"context"
	"fmt"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// settle reads the content of all files in the list: sets their digests, and
// whether they differ from before.
func (w *walker) settle(ctx context.Context, done func(n int)) error {
	return capture.Parallel(ctx, len(w.list), func(from, to int) error {
		merged, lower := opener{root: w.layer.merged}, opener{root: w.layer.lower}
		defer merged.close()
		defer lower.close()
		for i := from; i < to; i++ {
			if err := w.settleFile(i, &merged, &lower); err != nil {
				return fmt.Errorf("harvest: %w", err)
			}
		}
		done(to - from)
		return nil
	})
}

func (w *walker) settleFile(i int, merged, lower *opener) (err error) {
	e := &w.list[i]
	if !e.HasContent() || w.marks[i]&laterName != 0 {
		return nil
	}
	path := w.layer.inside(e.Path)
	if e.Digest, err = merged.digest(path); err != nil || w.marks[i]&compare == 0 {
		return err
	}
	before, err := lower.digest(path)
	if before != e.Digest {
		e.Changed |= plist.ChangedContent
	}
	return err
}

func (o *opener) digest(path string) (plist.Digest, error) {
	f, err := o.open(path)
	if err != nil {
		return plist.Digest{}, err
	}
	defer f.Close()
	return capture.Digest(f)
}
