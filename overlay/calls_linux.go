//go:build !amd64

package overlay

// oldCalls are none: younger architectures have only those that take a directory.
var oldCalls []call
