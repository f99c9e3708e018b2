package unpack

import (
	"io"
	"io/fs"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A disk is what makes the calls of a system: the operating system, or the model of
// the crash tests. Every path is an entry path, real: no part of it may be a symlink.
// Errors are those of the system calls. It is a table of calls, hence its size.
type disk interface {
	// lstat reads all attributes of a name; of a regular file the digest too if it is
	// asked for.
	lstat(name string, hash hashing) (plist.Entry, capture.Inode, error)
	exists(name string) (bool, error)
	readDir(name string) ([]string, error)
	openFile(name string) (content, error) // of a regular file
	space(dir string) (space, error)

	mkdir(name string, perm uint32) error
	symlink(target, name string) error
	mknod(name string, like *plist.Entry) error // of its kind, nothing more
	link(old, name string) error
	rename(old, name string, how renaming) error
	unlink(name string) error
	rmdir(name string) error
	create(name string) (file, error) // a regular file that nobody else can open
	inode(name string) (inode, error)
	fsync(name string) error // a file or a directory
	volume(dir string) (volume, error)

	lock(name string) (io.Closer, error) // ErrBusy if another process has it
	Close() error
}

// A renaming says what happens to what has the new name.
type renaming uint8

const (
	noReplace renaming = iota // it stays, and the rename fails
	replace                   // it goes, at the same instant
	trade                     // it gets the old name, at the same instant
)

// A content is what a file holds.
type content interface {
	io.ReadCloser
	io.ReaderAt
}

// A file is one that was just created.
type file interface {
	io.WriteSeeker
	Truncate(size int64) error
	Chmod(mode fs.FileMode) error
	Sync() error
	Close() error
}

// An inode is a file whose attributes are set. It has no content to open: it may be
// of any kind.
type inode interface {
	chown(uid, gid uint32) error
	chmod(mode fs.FileMode) error
	setXattrs(now, want map[string]string) error
	setFlags(now, want uint32) error
	utimens(modified time.Time) error
	Close() error
}

// A volume is a file system that is brought to the disk as a whole.
type volume interface {
	id() uint64
	sync() error
	Close() error
}

// A space is what a file system has room for. Of what does not count its files, files
// is 0.
type space struct {
	volume           uint64
	block, blocks    uint64 // size of one, number of free ones
	files, freeFiles uint64
	trades           bool // it is known that two names can be exchanged at once
}
