package unpack

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// A barrier brings whole file systems to the disk: one call each, however many
// files were written. It holds descriptors from before the first write, because
// the kernel tells an error of writing back only to those (syncfs(2)).
type barrier struct {
	sys *system
	fds map[uint64]int // by device
}

// newBarrier prepares for what is to be written in the directories of these names.
func newBarrier(sys *system, names []string) (*barrier, error) {
	b := &barrier{sys, make(map[uint64]int)}
	for _, name := range names {
		if err := b.add(path.Dir(name)); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *barrier) add(dir string) error {
	fd, err := b.sys.open(dir, readDir)
	if err != nil {
		return callError("open", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return closing(fd, err)
	}
	if _, ok := b.fds[st.Dev]; ok {
		return unix.Close(fd)
	}
	b.fds[st.Dev] = fd
	return nil
}

// sync returns when all that was written is on the disk.
func (b *barrier) sync() error {
	for _, fd := range b.fds {
		err := b.sys.about("syncfs", ".")
		if err == nil {
			err = unix.Syncfs(fd)
		}
		if err != nil {
			return callError("syncfs", ".", err)
		}
	}
	return nil
}

func (b *barrier) close() (err error) {
	for _, fd := range b.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}
