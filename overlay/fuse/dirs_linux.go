package fuse

// dirs keeps the directories of a mirror open that were used last. What is not open
// is opened below its parent, which is reached the same way.
type dirs struct{ fds[*node] }

// use calls do with a descriptor (O_PATH) of a directory.
func (d *dirs) use(n *node, do func(fd int) error) error {
	open := func() (fd int, err error) {
		err = d.use(n.parent, func(parent int) (err error) {
			fd, err = openDir(parent, n.name)
			return err
		})
		return fd, err
	}
	return d.fds.use(n, open, do)
}
