// Package hashdiff captures an installation by comparing what was there before
// with what is there after. It needs nothing but to read the files, so it works
// on every operating system.
//
// A snapshot is a walk of a tree in the order of a packing list: all that a
// plist.Entry tells of each path, the BLAKE3 of each file, and the numbers by
// which a file that was left alone is known again without reading it. It streams:
// from the walk to a file, and from two files, or a file and a walk, to a list.
//
// A run has these phases:
//
//	room    with Command.Root, a copy of it that is thrown away
//	before  a snapshot
//	keep    if the tree is to be rolled back, a copy of every content in it
//	run     the command, on the live tree or in the room
//	after   another snapshot, and the difference
//	undo    if the tree is to be rolled back, what the command wrote is taken away first
//
// Everything a run needs lies in one directory, so that a run that was killed can
// be rolled back later, by Recover.
package hashdiff
