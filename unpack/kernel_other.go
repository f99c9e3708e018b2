//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package unpack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// openKernel says why there are no roots on this system: to put files over a live root
// needs paths that are resolved below a directory for sure, and renames over what is
// open.
func openKernel(dir string) (disk, error) {
	return nil, fmt.Errorf("%s: packages are put over a live root on Unix only, not on %s: %w", dir, runtime.GOOS, errors.ErrUnsupported)
}

func whole(f content) (data []byte, release func() error, err error) {
	data, err = io.ReadAll(f)
	return data, func() error { return nil }, err
}

func hasHoles(*os.File, int64) bool { return false }
