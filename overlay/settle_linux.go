package overlay

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// settle opens all files in the list, each once: it sets their digests, whether
// they differ from before, and the attributes that the walk left for it.
func (w *walker) settle(ctx context.Context, done func(n int)) error {
	return capture.Parallel(ctx, len(w.list), func(from, to int) error {
		merged, lower := opener{root: w.layer.merged}, opener{root: w.layer.lower}
		defer merged.close()
		defer lower.close()
		for i := from; i < to; i++ {
			err := w.settleEntry(i, &merged, &lower)
			if w.isClosed(err) {
				w.marks[i] |= closed
			} else if err != nil {
				return fmt.Errorf("harvest %q: %w", w.list[i].Path, err)
			}
		}
		done(to - from)
		return nil
	})
}

func (w *walker) settleEntry(i int, merged, lower *opener) error {
	e, m := &w.list[i], w.marks[i]
	if m&laterName != 0 || !e.HasContent() && (m&bare == 0 || !e.Mode.IsDir()) {
		return nil
	}
	path := w.layer.inside(e.Path)
	fd, err := merged.open(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if m&bare != 0 {
		err = capture.ReadAttributes(e, fd)
	}
	if err != nil || !e.HasContent() {
		return err
	}
	if e.Digest, err = w.kept.digest(e, fd); err != nil || m&compare == 0 {
		return err
	}
	before, err := lower.digest(path, e.Size)
	if w.isClosed(err) { // and what can be read is another
		err = nil
	}
	if before != e.Digest {
		e.Changed |= plist.ChangedContent
	}
	return err
}

func (o *opener) digest(path string, size int64) (plist.Digest, error) {
	fd, err := o.open(path)
	if err != nil {
		return plist.Digest{}, err
	}
	defer unix.Close(fd)
	return digest(fd, size)
}

// digest hashes a file of a known size. An *os.File, and to read until there is no
// more, would be four system calls for most files instead of one.
func digest(fd int, size int64) (plist.Digest, error) {
	return capture.Digest(io.LimitReader(reader(fd), size))
}

// A reader reads from a descriptor.
type reader int

func (r reader) Read(p []byte) (int, error) {
	n, err := unix.Read(int(r), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}
