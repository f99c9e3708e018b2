package fuse

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// large is from which size on content is copied ahead.
const large = 1 << 20

// A copyAhead is the content of a lower file, copied before the tree is held to have the
// file in upper, so that other requests are answered meanwhile. Lower does not change, so
// it stays right; all but content is copied when the tree is held.
type copyAhead struct {
	fd    int           // without a name; -1 if it is used, or if there is none
	users int           // who waits for it, or is about to use it
	done  chan struct{} // closed once it is complete, or failed
}

// ahead copies a file's content if it is much and may be needed, and returns a function to
// be called when the file has been copied up, or will not be. What fails here does so
// again, and is told, when the file is copied up.
//
// Preconditions: tree is neither held nor shared.
func (u *Union) ahead(id uint64) (end func()) {
	u.tree.RLock()
	o := u.object(id)
	var st unix.Statx_t
	if o == nil || !o.large || o.upper != nil || o.orphan >= 0 || u.stat(o, &st) != nil {
		u.tree.RUnlock()
		return func() {}
	}
	u.mu.Lock()
	a := u.aheads[o]
	mine := a == nil
	if mine {
		a = &copyAhead{fd: -1, done: make(chan struct{})}
		u.aheads[o] = a
	}
	a.users++
	u.mu.Unlock()
	if mine {
		src := -1
		_ = u.to(o, func(dir int, name string, _ int) (err error) {
			src, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			return err
		})
		u.tree.RUnlock()
		a.copy(u, src, int64(st.Size))
		close(a.done)
	} else {
		u.tree.RUnlock()
		<-a.done
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if a.users--; a.users == 0 {
			a.close()
			delete(u.aheads, o)
		}
	}
}

// copy copies from a descriptor, which it closes, if there is one.
func (a *copyAhead) copy(u *Union, src int, size int64) {
	if src < 0 {
		return
	}
	defer unix.Close(src)
	err := u.in(&u.tmp, func(work int) (err error) {
		a.fd, err = unix.Open(strconv.Itoa(work), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil { // a file system without O_TMPFILE, perhaps
		a.fd = -1
		return
	}
	if CopyData(a.fd, src, size) != nil {
		a.close()
	}
}

func (a *copyAhead) close() {
	if a.fd >= 0 {
		unix.Close(a.fd)
		a.fd = -1
	}
}

// copied gives what was copied ahead of a file a name; -1 if there is nothing.
//
// Preconditions: tree is held.
func (u *Union) copied(o *object, dir int, name string, mode uint32) (fd int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	a := u.aheads[o]
	if a == nil {
		return -1, nil
	}
	select {
	case <-a.done:
	default: // somebody else will not wait for it
		return -1, nil
	}
	if a.fd < 0 || unix.Linkat(unix.AT_FDCWD, strconv.Itoa(a.fd), dir, name, unix.AT_SYMLINK_FOLLOW) != nil {
		return -1, nil
	}
	fd, a.fd = a.fd, -1
	return fd, unix.Fchmod(fd, mode&0o7777)
}
