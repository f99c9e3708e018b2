// Package fuse serves two file systems over FUSE: a mirror, for a user namespace, and a
// union.
//
// A [Mirror] is read-only and shows a directory and all that is mounted below it, served
// by a process outside of the namespace.
//
// An overlay in a user namespace can change only what belongs to ids that are
// mapped there, and real root's is not. In the mirror a file that root owns
// outside is one that the namespace's root owns, and so for every id by its
// number: the numbers of the reply are taken for ids of the namespace that the
// mirror is mounted in (fuse(4)). An id that has no place there is shown as
// another, the stranger, and [OwnerXattr] tells the true one.
//
// The mirror never changes anything, and reads with the rights of who serves it.
// What it shows is taken not to change meanwhile: the kernel keeps every answer.
// It crosses mounts; it holds no paths, only names in directories, so that no
// path is too deep; and it must not be used by the process that serves it.
//
// A [Union] has an upper directory on top of lower ones, in the format of overlayfs
// (whiteouts, opaque directories, redirects, attributes), so that either can read what
// the other left. It keeps descriptors of directories, and names in them, no paths; all
// of what a lower file is goes along when it is copied up, at its first change. It
// is served by a process of its own, a [Server].
//
// The kernel tells a union of no opening and no closing, and keeps every answer for good,
// which is right since all changes come through it. So a file is known by its number
// alone ([object]), and opened when it is read or written, from a cache of descriptors.
// What the kernel remembers of a file takes some 600 bytes here; from 100,000 files on it is
// asked to forget some (Linux 6.18). Requests wait while another changes something; the
// content of a large file is copied before that.
//
// The requests of either are read by one thread at a time, which waits in a way of its own
// ([device]).
//
// Lock order: a union's tree, its mu, a cache's. A cache's lock is never held over a
// system call that could wait for a mount of ours; [Mirror]'s own is taken inside of
// none.
package fuse
