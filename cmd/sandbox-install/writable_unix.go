//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// mayWrite says why the user could make no file in a directory, by access(2).
func mayWrite(dir string) error {
	const writeAndSearch = 2 | 1 // W_OK|X_OK
	if err := syscall.Access(dir, writeAndSearch); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
