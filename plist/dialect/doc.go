// Package dialect reads and writes packing lists in the text forms of ports
// trees (pkgsrc's PLIST, FreeBSD's pkg-plist, OpenBSD's PLIST) and mtree(5), and
// does what a porter does with them by hand.
//
// There are three layers. A [Document] is a text, cut into lines without loss:
// what is not edited keeps its bytes. An [Item] is what a line says, in no
// dialect: the bridge between them, and from a captured [plist.List]. A [Port]
// is a captured list in the idiom of a tree, with the lines for its Makefile.
//
// On items work [Substitute] (variables for what differs between captures),
// [Merge] (conditions from captures with different options), [Update] (an old
// list for a new capture) and [DiffItems]; on documents [Convert] and [Check].
//
// What a dialect cannot express is an [Unexpressible] that names line and entry,
// and nothing is written. What is the Makefile's to say is told in comments.
// Variables keep their names when a list is converted: each tree has its own,
// and only the porter knows which stands for which.
package dialect
