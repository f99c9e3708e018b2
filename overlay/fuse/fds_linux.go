package fuse

import (
	"container/list"
	"sync"

	"golang.org/x/sys/unix"
)

// maxOpen is how many descriptors a cache keeps: no more than an eighth of what may be
// open (getrlimit(2)), since there are others, and each union has a cache.
var maxOpen = func() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 8*256 {
		return 256
	}
	return int(limit.Cur / 8)
}()

// fds keeps the descriptors open that were used last, each by what it leads to.
type fds[K comparable] struct {
	mu    sync.Mutex
	kept  map[K]int           // for good
	open  map[K]*list.Element // of *opened[K]
	order list.List           // the last used first
}

// An opened is a descriptor in the cache.
type opened[K comparable] struct {
	key   K
	fd    int
	users int
	gone  bool // no longer in the cache: its last user closes it
}

// keep puts a descriptor in that is never closed but with all. Nothing may be in use
// yet.
func (c *fds[K]) keep(k K, fd int) {
	if c.kept == nil {
		c.kept = make(map[K]int)
	}
	c.kept[k] = fd
}

// use calls do with the descriptor of k, which open opens if need be.
func (c *fds[K]) use(k K, open func() (int, error), do func(fd int) error) error {
	if fd, ok := c.kept[k]; ok {
		return do(fd)
	}
	o := c.find(k)
	if o == nil {
		fd, err := open()
		if err != nil {
			return err
		}
		o = c.insert(k, fd)
	}
	defer c.release(o)
	return do(o.fd)
}

// useOpen is use if the descriptor of k is open.
func (c *fds[K]) useOpen(k K, do func(fd int) error) (err error, open bool) {
	o := c.find(k)
	if o == nil {
		return nil, false
	}
	defer c.release(o)
	return do(o.fd), true
}

func (c *fds[K]) find(k K) *opened[K] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.open[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	o := e.Value.(*opened[K])
	o.users++
	return o
}

// insert adds a descriptor, in use once, unless another request was faster.
func (c *fds[K]) insert(k K, fd int) *opened[K] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[k]; e != nil {
		unix.Close(fd)
		o := e.Value.(*opened[K])
		o.users++
		return o
	}
	o := &opened[K]{key: k, fd: fd, users: 1}
	if c.open == nil {
		c.open = make(map[K]*list.Element)
	}
	c.open[k] = c.order.PushFront(o)
	if c.order.Len() > maxOpen {
		c.remove(c.order.Back())
	}
	return o
}

func (c *fds[K]) release(o *opened[K]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.users--; o.users == 0 && o.gone {
		unix.Close(o.fd)
	}
}

// remove takes a descriptor out of the cache.
func (c *fds[K]) remove(e *list.Element) {
	o := c.order.Remove(e).(*opened[K])
	delete(c.open, o.key)
	if o.gone = true; o.users == 0 {
		unix.Close(o.fd)
	}
}

// forget lets go of what is not asked for any more.
func (c *fds[K]) forget(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.open[k]; e != nil {
		c.remove(e)
	}
}

// close closes all.
func (c *fds[K]) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
	for _, fd := range c.kept {
		unix.Close(fd)
	}
}

// openDir opens a directory to reach what is in it.
func openDir(parent int, name string) (int, error) {
	return unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
