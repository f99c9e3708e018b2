package tarball

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// allocated returns how many bytes of disk a file takes.
func allocated(fi fs.FileInfo) int64 {
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

// nextData returns the first place at or after off that is not in a hole.
func nextData(f *os.File, off int64) (int64, error) {
	next, err := f.Seek(off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // nothing but a hole up to the end
		fi, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return fi.Size(), nil
	case errors.Is(err, unix.EINVAL): // not all file systems can tell (lseek(2))
		return off, nil
	}
	return next, err
}
