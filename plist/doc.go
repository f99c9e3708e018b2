// Package plist holds the one noun of sandbox-install: the packing list, as in
// the BSD package tools (not Apple's property list).
//
// A [List] is what one installation did, path by path: an [Entry] each. A [Tree]
// holds the bytes of its regular files. Capture methods make both; rebase edits
// them; tarball, unpack and every writer of a text form consume them.
//
// The package imports nothing but the standard library and does no I/O on
// anything but the readers and writers it is given.
package plist
