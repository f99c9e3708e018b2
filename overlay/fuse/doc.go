// Package fuse shows a file system to a user namespace: a read-only mirror of a
// directory and all that is mounted below it, served over FUSE by a process
// outside of the namespace.
//
// An overlay in a user namespace can change only what belongs to ids that are
// mapped there, and real root's is not. In the mirror a file that root owns
// outside is one that the namespace's root owns, and so for every id by its
// number: the numbers of the reply are taken for ids of the namespace that the
// mirror is mounted in (fuse(4)). An id that has no place there is shown as 0,
// and [OwnerXattr] tells the true one.
//
// The mirror never changes anything, and reads with the rights of who serves it.
// What it shows is taken not to change meanwhile: the kernel keeps every answer.
// It crosses mounts; it holds no paths, only names in directories, so that no
// path is too deep; and it must not be used by the process that serves it.
//
// Lock order: a directory cache's lock is never held over a system call that
// could wait for the mirror; [Mirror]'s own is taken inside of none.
package fuse
