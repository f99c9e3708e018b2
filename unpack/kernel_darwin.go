package unpack

import "golang.org/x/sys/unix"

const tradesNames = true

// renameWith is renameatx_np(2).
func renameWith(how renaming, olddir int, old string, dir int, name string) error {
	return unix.RenameatxNp(olddir, old, dir, name, renameFlags[how])
}

var renameFlags = [...]uint32{noReplace: unix.RENAME_EXCL, trade: unix.RENAME_SWAP}
