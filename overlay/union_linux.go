package overlay

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// wanted are the options that an overlay is mounted with, the dearest first. A
// kernel or a file system that refuses one gets the overlay without it.
//
//	index        the names of one inode stay together when it is copied up
//	redirect_dir rename(2) of a lower directory works, instead of EXDEV
//	xino         st_ino and st_dev stay the same through a copy-up
//	nfs_export   name_to_handle_at(2) works
//	volatile     no fsync: what a crash would lose is thrown away anyway
//
// metacopy, which may be the kernel's default, would make uppers without content.
var wanted = []string{"metacopy=off", "index=on", "redirect_dir=on", "xino=on", "nfs_export=on", "volatile"}

// overlayContext describes an overlay of lower directories, topmost first,
// separated by colons.
func overlayContext(lower, upper, work string) fsContext {
	return fsContext{
		fstype:  "overlay",
		options: append([]string{"lowerdir=" + lower, "upperdir=" + upper, "workdir=" + work}, wanted...),
	}
}

// mountOverlay mounts an overlay with its upper and work directory in r, and as many
// of the wanted options as are to be had.
func mountOverlay(lower []string, r *room, attr uint64) (*os.File, error) {
	c := overlayContext(strings.Join(lower, ":"), r.path("upper"), r.path("work"))
	c.attr = attr
	for dropped := 0; ; dropped++ {
		m, err := newMount(c)
		if err == nil || dropped == len(wanted) {
			return m, err
		}
		c.options = c.options[:len(c.options)-1]
	}
}

// keepsLinks reports whether the overlay in r got its index: the kernel goes
// without one, and says so only in its log, where a lower has no file handles.
func keepsLinks(r *room) bool {
	_, err := os.Lstat(r.path("work/index"))
	return !errors.Is(err, fs.ErrNotExist)
}
