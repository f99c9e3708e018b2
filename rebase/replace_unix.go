//go:build unix

package rebase

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// copyOwner gives f the owner and group of another file.
func copyOwner(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner in %T", like.Name(), like.Sys())
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// inode identifies the file behind a name, so that hard links can be told.
func inode(info fs.FileInfo) (id [2]uint64, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return id, false
	}
	return [2]uint64{uint64(st.Dev), uint64(st.Ino)}, uint64(st.Nlink) > 1
}

// syncDir makes the renames in a directory last through a power cut.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
