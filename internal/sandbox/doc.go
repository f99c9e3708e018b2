// Package sandbox starts a command in new namespaces, in a root file system that
// somebody else has prepared.
//
// Two processes stand between the caller and the command. The supervisor is the
// caller itself, inside [Run]. It starts this same program again, with a [Plan]
// and the descriptors of detached mounts; the copy finds itself in [Init], is
// pid 1 of its own pid namespace, puts the mounts in place, moves into them,
// starts the command and stays as a real init: it reaps whatever ends, passes
// signals on, and when the command has ended stops what the command left
// running. Only when nothing is left does Run return.
//
// The host's mount table is never touched: what the supervisor holds are
// detached mounts, and they are attached in a private mount namespace. If the
// supervisor is killed, the kernel kills init, and with init everything in its
// pid namespace and the mount namespace itself.
//
// A program that calls Run must call Init first thing in main; so must the
// TestMain of such a test.
//
// The package knows mounts as plan data and processes. It knows nothing of what
// the mounts mean. It keeps a command from changing the machine by accident; it
// is no jail for a command that attacks.
package sandbox
