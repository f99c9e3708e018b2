// Package overlay captures an installation under union mounts: the command sees
// every file system in its usual place, writable, and what it writes lands in an
// upper directory of its own, one for each.
//
// A run has these phases, and each leaves the host's files and mount table as they
// are, however it ends:
//
//	survey   the visible mounts, and what a layout needs to know of them
//	layout   what is to be mounted where inside: plain data, a pure function
//	stage    a directory or tmpfs that can hold upper layers
//	build    detached mounts, none of them attached on the host
//	run      package sandbox attaches them in its own mount namespace
//	harvest  the upper says where to look, merged against lower says what it is
//
// [Rootless] does this for who has no privilege, in a user namespace: survey to build
// and the harvest are then done inside, by init, and handed out; below the one
// overlay is a mirror (package overlay/fuse). What such an overlay can not do, or does
// otherwise, is known by the flavour of a layer.
//
// [Fuse] has unions over FUSE in the place of the kernel's overlays, in both.
//
// Whiteouts, opaque directories and overlayfs's own attributes are known here and in
// package overlay/fuse, and nowhere else.
package overlay
