package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
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
// In a user namespace, without privilege, there is no more than xino and volatile;
// the notes are user.overlay.* (overlayfs.rst).
var wanted = []string{"metacopy=off", "index=on", "redirect_dir=on", "xino=on", "nfs_export=on", "volatile"}

// mountOverlay mounts an overlay of lower directories, topmost first, with its
// upper and work directory in r, and as many of the wanted options as are to be
// had.
func mountOverlay(lower []string, r *room, attr uint64) (*os.File, error) {
	layers := []string{"lowerdir=" + strings.Join(lower, ":"), "upperdir=" + r.path("upper"), "workdir=" + r.path("work")}
	options := slices.Clone(wanted)
	if r.userxattr {
		layers, options = append(layers, "userxattr"), []string{"xino=on", "volatile"}
	}
	if sameFS(lower[0], r.path("upper")) { // the kernel would log that xino is useless
		options = slices.DeleteFunc(options, func(o string) bool { return o == "xino=on" })
	}
	for {
		mount := func() (*os.File, error) {
			return newMount(fsContext{fstype: "overlay", options: append(layers, options...), attr: attr})
		}
		m, err := mount()
		switch {
		case err == nil:
			return m, nil
		case len(options) > 0:
			options = options[:len(options)-1]
		case isOverlay(r.path("upper")) && errors.Is(err, unix.EINVAL):
			return nil, errOnOverlay
		case isOverlay(lower[0]) && errors.Is(err, unix.EINVAL):
			return nil, fmt.Errorf("%w: %w", errStacked, err)
		default:
			return explained(mount)
		}
		// What a try with volatile leaves in its work directory stops the next one.
		if err := os.RemoveAll(r.path("work")); err != nil {
			return nil, err
		}
		if err := os.Mkdir(r.path("work"), 0o700); err != nil {
			return nil, err
		}
	}
}

// errStacked is what the kernel says only in its log.
var errStacked = errors.New("it is itself an overlay, and overlays can be stacked no more than twice")

// errOnOverlay is what the kernel says of an upper directory that lies on an overlay.
var errOnOverlay = errors.New("it is on an overlay, which can hold no upper layer of another")

func isOverlay(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC
}

func sameFS(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev
}

// keepsLinks reports whether the overlay in r got its index: the kernel goes
// without one, and says so only in its log, where a lower has no file handles.
func keepsLinks(r *room) bool {
	_, err := os.Lstat(r.path("work/index"))
	return !errors.Is(err, fs.ErrNotExist)
}
