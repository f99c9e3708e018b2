package unpack

import (
	"errors"
	"path"
)

// A barrier brings whole file systems to the disk: one call each, however many
// files were written.
type barrier struct {
	sys     *system
	volumes map[uint64]volume
}

// newBarrier prepares for what is to be written in the directories of these names.
func newBarrier(sys *system, names []string) (*barrier, error) {
	b := &barrier{sys, make(map[uint64]volume)}
	for _, name := range names {
		if err := b.add(path.Dir(name)); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func (b *barrier) add(dir string) error {
	v, err := b.sys.disk.volume(dir)
	if err != nil {
		return callError("open", dir, err)
	}
	if _, ok := b.volumes[v.id()]; ok {
		return v.Close()
	}
	b.volumes[v.id()] = v
	return nil
}

// sync returns when all that was written is on the disk.
func (b *barrier) sync() error {
	for _, v := range b.volumes {
		if err := b.sys.change("syncfs", ".", v.sync); err != nil {
			return err
		}
	}
	return nil
}

func (b *barrier) close() (err error) {
	for _, v := range b.volumes {
		err = errors.Join(err, v.Close())
	}
	return err
}
