//go:build darwin || freebsd || netbsd || openbsd

package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

const openDir = unix.O_RDONLY | unix.O_DIRECTORY

// No system but Linux syncs one file system and waits for it.
const canSyncWhole = false

func syncsWhole(int) bool { return canSyncWhole }

func syncWhole(int) error { return nil }

func (k *kernel) open(name string, flags int) (int, error) { return k.walk(name, flags) }

// isSymlink: FreeBSD says EMLINK, and NetBSD EFTYPE, of a symlink that open(2) is not
// to follow.
func isSymlink(err error) bool {
	return errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EFTYPE)
}

func openContent(dir int, base string) (int, error) {
	return openIn(dir, base, unix.O_RDONLY|unix.O_NONBLOCK)
}

func (k *kernel) mknod(_ string, like *plist.Entry) error {
	return fmt.Errorf("a file of mode %v: %w", like.Mode, errors.ErrUnsupported)
}

// space knows nothing: that a disk is full shows while staging, when nothing is lost.
func (k *kernel) space(dir string) (space, error) {
	v, err := k.volume(dir)
	if err != nil {
		return space{}, err
	}
	return space{volume: v.id(), block: 4096, blocks: math.MaxInt64 >> 12, trades: tradesNames}, v.Close()
}

// A kernelInode is a name in an open directory. It is not followed.
type kernelInode struct {
	dir  int
	base string
}

func (k *kernel) inode(name string) (inode, error) {
	dir, err := k.open(path.Dir(name), openDir)
	k.dirty.mark(name)
	return kernelInode{dir, path.Base(name)}, err
}

func (n kernelInode) Close() error { return unix.Close(n.dir) }

func (n kernelInode) chown(uid, gid uint32) error {
	return unix.Fchownat(n.dir, n.base, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
}

func (n kernelInode) chmod(mode fs.FileMode) error {
	return unix.Fchmodat(n.dir, n.base, plist.UnixPerm(mode), unix.AT_SYMLINK_NOFOLLOW)
}

func (n kernelInode) utimens(modified time.Time) error {
	t, err := unix.TimeToTimespec(modified)
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(n.dir, n.base, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

func (n kernelInode) setXattrs(_, want map[string]string) error {
	if len(want) > 0 {
		return errors.ErrUnsupported
	}
	return nil
}

func (n kernelInode) setFlags(now, want uint32) error {
	if now != want {
		return errors.ErrUnsupported
	}
	return nil
}
