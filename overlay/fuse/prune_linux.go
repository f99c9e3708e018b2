package fuse

import (
	"encoding/binary"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxObjects is about how many files the kernel may know at a time beyond those in use.
// It would keep as many as it has memory for, and each of them takes some here.
var maxObjects = 100_000

// pruneAfter is after how many new objects some are let go of, and how many.
const pruneAfter, pruned = 1024, 4096

// isMet counts a new object, and has others let go of if there are many.
//
// Preconditions: mu is held.
func (u *Union) isMet(o *object) {
	u.byID[o.id] = o
	if u.met++; len(u.byID) > maxObjects && u.met >= pruneAfter {
		u.met = 0
		select {
		case u.crowded <- struct{}{}:
		default: // it is being done
		}
	}
}

// prune asks the kernel to forget files, each time that there are too many, until crowded is
// closed. What is in use it keeps, and nobody knows here what that is: any will do.
// The kernel may wait for an answer of ours to a reader of a file that it is to forget, so
// this is none of the threads that answer.
func (u *Union) prune() {
	for range u.crowded {
		var ids []uint64
		u.mu.Lock()
		for id := range u.byID { // begins anywhere
			if ids = append(ids, id); len(ids) == pruned {
				break
			}
		}
		u.mu.Unlock()
		u.device.forget(ids)
	}
}

// forget asks the kernel to forget files that are not in use: FUSE_NOTIFY_PRUNE of Linux
// 6.18, a fuse_out_header and fuse_notify_prune_out of linux/fuse.h, 16 bytes each, and the
// numbers. That it has forgotten one already is no error.
func (d *device) forget(ids []uint64) {
	code := int32(gofuse.NOTIFY_PRUNE)
	message := binary.NativeEndian.AppendUint32(nil, uint32(32+8*len(ids)))
	message = binary.NativeEndian.AppendUint32(message, uint32(-code))
	message = append(message, make([]byte, 8)...)
	message = binary.NativeEndian.AppendUint32(message, uint32(len(ids)))
	message = append(message, make([]byte, 12)...)
	for _, id := range ids {
		message = binary.NativeEndian.AppendUint64(message, id)
	}
	_, _ = unix.Write(d.fd, message) // an attempt
}
