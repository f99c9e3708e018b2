//go:build !linux

package hashdiff

import (
	"errors"
	"io/fs"
	"time"
)

func (r *restorer) mknod(*Record) error {
	return errors.New("devices, fifos and sockets can not be made on this system")
}

// dressMore sets the time. That of a symlink can not be set.
func (r *restorer) dressMore(rec *Record) error {
	if rec.Mode.Type() == fs.ModeSymlink {
		return nil
	}
	return r.root.Chtimes(host(rec.Path), time.Time{}, rec.ModTime)
}

func (r *restorer) makeMutable(*Record) error { return nil }
