package unpack

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A system is the only way to the disk. Every path is an entry path, real: no part
// of it may be a symlink. The kernel sees to it (openat2(2)), so a link that
// somebody puts into a path meanwhile is an error and never a way out.
type system struct {
	root int // descriptor

	// fault, if not nil, is asked before every call that changes something. Tests
	// number the calls by it, fail them, and end the process there.
	fault func(call, name string) error
}

// about announces a call that changes something.
func (s *system) about(call, name string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(call, name)
}

const (
	pathOnly = unix.O_PATH | unix.O_NOFOLLOW
	readDir  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
)

// open opens a name by its real path.
func (s *system) open(name string, flags uint64) (int, error) {
	return s.openat2(name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// openat2 tries again when a rename elsewhere confused the kernel (openat2(2), EAGAIN).
func (s *system) openat2(name string, how *unix.OpenHow) (int, error) {
	for {
		fd, err := unix.Openat2(s.root, name, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// in opens the directory that holds name and calls do with it and the last
// component.
func (s *system) in(name string, do func(dir int, base string) error) error {
	if name == "." {
		return do(s.root, ".")
	}
	dir, err := s.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return closing(dir, do(dir, path.Base(name)))
}

// change announces a call and makes it. The error says which it was.
func (s *system) change(call, name string, do func(dir int, base string) error) error {
	err := s.about(call, name)
	if err == nil {
		err = s.in(name, do)
	}
	return callError(call, name, err)
}

func callError(call, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: call, Path: name, Err: err}
}

func closing(fd int, err error) error { return errors.Join(err, unix.Close(fd)) }

func (s *system) mkdir(name string, perm uint32) error {
	return s.change("mkdir", name, func(dir int, base string) error { return unix.Mkdirat(dir, base, perm) })
}

func (s *system) symlink(target, name string) error {
	return s.change("symlink", name, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

func (s *system) mknod(name string, mode uint32, dev uint64) error {
	return s.change("mknod", name, func(dir int, base string) error { return unix.Mknodat(dir, base, mode, int(dev)) })
}

func (s *system) unlink(name string) error {
	return s.change("unlink", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

func (s *system) rmdir(name string) error {
	return s.change("rmdir", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}

func (s *system) link(old, name string) error {
	return s.change("link", name, func(dir int, base string) error {
		return s.in(old, func(olddir int, oldbase string) error {
			return unix.Linkat(olddir, oldbase, dir, base, 0)
		})
	})
}

// rename takes the flags of renameat2(2).
func (s *system) rename(old, name string, flags uint) error {
	return s.change("rename", name, func(dir int, base string) error {
		return s.in(old, func(olddir int, oldbase string) error {
			return unix.Renameat2(olddir, oldbase, dir, base, flags)
		})
	})
}

// create makes a regular file that nobody else can open.
func (s *system) create(name string) (f *os.File, err error) {
	err = s.change("create", name, func(dir int, base string) error {
		const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := unix.Openat(dir, base, flags, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, err
}

// write announces the bytes that go into f.
func (s *system) write(f *os.File, p []byte) (int, error) {
	if err := s.about("write", f.Name()); err != nil {
		return 0, callError("write", f.Name(), err)
	}
	return f.Write(p)
}

// fsync brings one file or directory to the disk.
func (s *system) fsync(name string) error {
	if err := s.about("fsync", name); err != nil {
		return callError("fsync", name, err)
	}
	fd, err := s.open(name, unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return callError("open", name, err)
	}
	return callError("fsync", name, closing(fd, unix.Fsync(fd)))
}

// isMissing reports whether there is nothing at a real path: also if a part of it
// is no directory, or a symlink.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// lstat reads all attributes of a name; of a regular file the digest too if it is
// asked for. What is not there is fs.ErrNotExist.
func (s *system) lstat(name string, hash hashing) (e plist.Entry, inode capture.Inode, err error) {
	err = s.in(name, func(dir int, base string) error {
		var err error
		e, inode, err = capture.Lstat(dir, base)
		if err != nil || hash == noHash || !e.Mode.IsRegular() {
			return err
		}
		fd, err := capture.OpenAt(dir, base)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		e.Digest, err = capture.Digest(f)
		return errors.Join(err, f.Close())
	})
	e.Op, e.Path, e.Xattrs = plist.OpAdd, name, withoutLayout(e.Xattrs)
	if isMissing(err) {
		err = unix.ENOENT
	}
	return e, inode, callError("lstat", name, err)
}

// hashing says whether a file's content is to be read.
type hashing bool

const (
	noHash  hashing = false
	andHash hashing = true
)

// exists reports whether there is anything of this name.
func (s *system) exists(name string) (bool, error) {
	err := s.in(name, func(dir int, base string) error {
		var st unix.Stat_t
		return unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if isMissing(err) {
		return false, nil
	}
	return err == nil, callError("lstat", name, err)
}

// readDir returns the names in a directory, sorted.
func (s *system) readDir(name string) ([]string, error) {
	fd, err := s.open(name, readDir)
	if err != nil {
		return nil, callError("open", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, f.Close())
}

// openFile opens a regular file to read.
func (s *system) openFile(name string) (f *os.File, err error) {
	err = s.in(name, func(dir int, base string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG { // to open a fifo may block
			return errors.New("is no regular file")
		}
		fd, err := capture.OpenAt(dir, base)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, callError("open", name, err)
}

// removeAll removes a name and all below it, if it is there.
func (s *system) removeAll(name string) error {
	e, _, err := s.lstat(name, noHash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !e.Mode.IsDir() {
		return s.unlink(name)
	}
	names, err := s.readDir(name)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := s.removeAll(path.Join(name, n)); err != nil {
			return err
		}
	}
	return s.rmdir(name)
}
