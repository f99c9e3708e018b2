package capture

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenDir opens a directory below another one, in as many steps as its path is
// longer than the kernel takes at once (PATH_MAX), with O_PATH. No part of the path
// may be a symlink.
func OpenDir(at int, dir string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd := -1
	for rest := dir; rest != ""; {
		var step string
		step, rest = cutPath(rest)
		next, err := unix.Openat2(at, step, &how)
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil {
			return -1, fmt.Errorf("directory %q: %w", step, err)
		}
		fd, at = next, next
	}
	return fd, nil
}

// cutPath splits a path where its first part is as long as a system call may be
// given: PATH_MAX counts the NUL at the end.
func cutPath(p string) (first, rest string) {
	if len(p) < unix.PathMax {
		return p, ""
	}
	cut := strings.LastIndexByte(p[:unix.PathMax], '/')
	return p[:cut], p[cut+1:]
}
