package capture

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// CopyContent gives an empty file the content of another one: the same blocks where
// the file system shares them (ioctl_ficlone(2), on btrfs, XFS and bcachefs), else a
// copy that leaves holes where the kernel tells of them.
func CopyContent(to, from *os.File) error {
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
		return nil
	}
	size, err := from.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole to the end
			break
		}
		if err != nil {
			return err
		}
		if at, err = from.Seek(data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := copyRange(to, from, data, at); err != nil {
			return err
		}
	}
	return to.Truncate(size)
}

func copyRange(to, from *os.File, start, end int64) error {
	for _, f := range []*os.File{to, from} {
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(to, from, end-start)
	return err
}
