// Package trace captures an installation where nothing may be mounted: it has the
// kernel ask before each system call that can change a file (seccomp user
// notification, seccomp_unotify(2)), saves what is about to be changed, lets the
// kernel do the call, and puts everything back afterwards.
//
// A run has these phases:
//
//	run       the recorder answers the kernel; before a path is first changed, what
//	          is there goes into the journal, a directory on disk
//	harvest   what was is compared with what is, where the journal says to look,
//	          and the bytes of the list are kept
//	roll back what was is put back, and the journal removed
//
// What was is never copied as a whole: it is the live tree of this moment, with the
// journal's records in place of what was touched (type past). So a directory that
// was renamed costs one record, whatever is in it.
//
// A killed run leaves its journal; Recover rolls it back, and until then no run
// begins. A call that can not be recorded is refused, never let through: with the
// recorder's death the kernel itself refuses them all (ENOSYS).
//
// Between the recorder's look and the kernel's a second thread may change a path in
// memory; what it changes in the file system is waited for (order_linux.go). So nothing
// here is a jail; it watches programs that do not attack.
package trace
