//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package capture

import "golang.org/x/sys/unix"

// readlink returns the whole target, however long: the size that stat(2) tells
// is not to be trusted (proc(5)).
func readlink(dir int, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(dir, name, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}
