// Package dialect reads and writes packing lists in the text forms of ports
// trees: pkgsrc's PLIST, FreeBSD's pkg-plist, OpenBSD's PLIST and mtree(5).
//
// A captured [plist.List] becomes neutral [Item]s, and these the lines of one
// dialect. What a dialect cannot express is an error that names the entry; what
// a packing list is no place for is told in its comments.
package dialect
