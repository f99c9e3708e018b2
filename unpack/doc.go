// Package unpack puts a package over a live root, all or nothing, and takes it
// away again.
//
// # Promises
//
// At every instant a path that is there before and after is wholly one or the
// other. After a crash, of the program or of the machine, the next call finishes
// what was committed and takes back what was not; that may be interrupted too. A
// call that returns without error is on disk. What was in the way is kept, and
// comes back when the package is removed or the transaction undone. Nothing
// outside the root is read or written, whatever links are in the package or in the
// root. A plan that is refused has written nothing.
//
// Not promised: that several paths change at once, and that the attributes of a
// file whose content stays (a chmod) change at once: those are set in place, as
// the installer set them.
//
// A directory of an overlay's lower layer can not be renamed: where it goes, what is in
// it goes one after another. Where two names can not be exchanged at once (other systems than Linux and macOS,
// file systems of other programs) what becomes a directory or was one is missing for
// a moment, and what somebody makes at a new path in the moment between look and
// rename is lost; the plan says so. On other systems than Linux there are no extended
// attributes, flags, fifos and devices, and the times of symlinks may be lost if the
// power goes.
//
// # Phases
//
//	plan      read only; compare the package with what is there; refuse here
//	intent    the journal: what is there and what is wanted, two packing lists
//	stage     make every new object beside its place, under a temporary name
//	barrier   all of it is on disk
//	commit    a mark in the journal; from here on a crash leads forward
//	swap      rename new objects in, old ones out to the temporary names
//	barrier   all of it is on disk; a second mark
//	record    what the package has, and what was there before it
//	clean up  old objects go to the store of kept ones, the journal into the history
//
// An error while swapping leads backward: a third mark says so, and the renames
// are made in reverse.
//
// What a transaction does follows from the two lists alone (see steps), so
// recovery needs nothing else, and undoing a transaction is another one with the
// lists exchanged.
//
// # State
//
// All state is below one directory of the root, text in the native form of package
// plist:
//
//	lock               flock(2); never removed, the kernel frees it
//	pending/           the journal of the transaction under way
//	packages/NAME/     what an installed package has, and what it displaced; its
//	                   configuration as packaged, and what waits for being merged
//	history/N/         the journals of transactions that are done
//	kept/N/            what transaction N displaced
//	index              who has which path; made from the records, may be deleted
//
// Each journal of the history has the digest of the one before it.
//
// Readers take no lock.
package unpack
