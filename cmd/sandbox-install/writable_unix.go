//go:build unix

package main

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// mayWrite says why the user could make no file in a directory, by faccessat(2).
func mayWrite(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
