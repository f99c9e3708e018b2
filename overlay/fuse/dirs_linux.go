package fuse

import (
	"container/list"
	"sync"

	"golang.org/x/sys/unix"
)

// maxOpen is how many directories stay open.
const maxOpen = 256

// dirs keeps the directories open that were used last. What is not open is opened
// below its parent, which is reached the same way.
type dirs struct {
	mu    sync.Mutex
	kept  map[*node]int           // for good
	open  map[*node]*list.Element // of *dir
	order list.List               // the last used first
}

// A dir is an open directory.
type dir struct {
	node  *node
	fd    int
	users int
	gone  bool // no longer in the cache: its last user closes it
}

// keep puts a directory in that is never closed but with all.
func (d *dirs) keep(n *node, fd int) {
	if d.kept == nil {
		d.kept = make(map[*node]int)
		d.open = make(map[*node]*list.Element)
	}
	d.kept[n] = fd
}

// use calls do with a descriptor (O_PATH) of a directory.
func (d *dirs) use(n *node, do func(fd int) error) error {
	if fd, ok := d.kept[n]; ok {
		return do(fd)
	}
	o := d.find(n)
	if o == nil {
		fd := -1
		err := d.use(n.parent, func(parent int) (err error) {
			fd, err = unix.Openat(parent, n.name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			return err
		})
		if err != nil {
			return err
		}
		o = d.insert(n, fd)
	}
	defer d.release(o)
	return do(o.fd)
}

func (d *dirs) find(n *node) *dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.open[n]
	if e == nil {
		return nil
	}
	d.order.MoveToFront(e)
	o := e.Value.(*dir)
	o.users++
	return o
}

// insert adds an open directory, in use once, unless another request was faster.
func (d *dirs) insert(n *node, fd int) *dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.open[n]; e != nil {
		unix.Close(fd)
		o := e.Value.(*dir)
		o.users++
		return o
	}
	o := &dir{node: n, fd: fd, users: 1}
	d.open[n] = d.order.PushFront(o)
	if d.order.Len() > maxOpen {
		d.remove(d.order.Back())
	}
	return o
}

func (d *dirs) release(o *dir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.users--; o.users == 0 && o.gone {
		unix.Close(o.fd)
	}
}

// remove takes a directory out of the cache.
func (d *dirs) remove(e *list.Element) {
	o := d.order.Remove(e).(*dir)
	delete(d.open, o.node)
	if o.gone = true; o.users == 0 {
		unix.Close(o.fd)
	}
}

// forget lets go of a node that is not asked for any more.
func (d *dirs) forget(n *node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.open[n]; e != nil {
		d.remove(e)
	}
}

// close closes all.
func (d *dirs) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.order.Len() > 0 {
		d.remove(d.order.Back())
	}
	for _, fd := range d.kept {
		unix.Close(fd)
	}
}
