//go:build !unix

package main

// mayWrite has nothing to ask here: writing will tell.
func mayWrite(string) error { return nil }
