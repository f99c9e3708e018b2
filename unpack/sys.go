package unpack

import (
	"errors"
	"io/fs"
	"path"
	"syscall"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A system is the only way to the disk.
type system struct {
	disk disk

	// fault, if not nil, is asked before every call that changes something. Tests
	// number the calls by it, fail them, and end the process there.
	fault func(call, name string) error
}

// change announces a call that changes something and makes it. The error says which
// it was.
func (s *system) change(call, name string, do func() error) error {
	var err error
	if s.fault != nil {
		err = s.fault(call, name)
	}
	if err == nil {
		err = do()
	}
	return callError(call, name, err)
}

func callError(call, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: call, Path: name, Err: err}
}

func (s *system) mkdir(name string, perm uint32) error {
	return s.change("mkdir", name, func() error { return s.disk.mkdir(name, perm) })
}

func (s *system) symlink(target, name string) error {
	return s.change("symlink", name, func() error { return s.disk.symlink(target, name) })
}

func (s *system) mknod(name string, like *plist.Entry) error {
	return s.change("mknod", name, func() error { return s.disk.mknod(name, like) })
}

func (s *system) unlink(name string) error {
	return s.change("unlink", name, func() error { return s.disk.unlink(name) })
}

func (s *system) rmdir(name string) error {
	return s.change("rmdir", name, func() error { return s.disk.rmdir(name) })
}

func (s *system) link(old, name string) error {
	return s.change("link", name, func() error { return s.disk.link(old, name) })
}

func (s *system) rename(old, name string, how renaming) error {
	return s.change("rename", name, func() error { return s.disk.rename(old, name, how) })
}

// fsync brings one file or directory to the disk.
func (s *system) fsync(name string) error {
	return s.change("fsync", name, func() error { return s.disk.fsync(name) })
}

// create makes a regular file that nobody else can open.
func (s *system) create(name string) (*createdFile, error) {
	var f file
	err := s.change("create", name, func() (err error) {
		f, err = s.disk.create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &createdFile{s, name, f}, nil
}

// A createdFile announces what changes it.
type createdFile struct {
	sys  *system
	name string
	file
}

func (f *createdFile) Write(p []byte) (n int, err error) {
	err = f.sys.change("write", f.name, func() error { n, err = f.file.Write(p); return err })
	return n, err
}

func (f *createdFile) Truncate(size int64) error {
	return f.sys.change("truncate", f.name, func() error { return f.file.Truncate(size) })
}

func (f *createdFile) Chmod(mode fs.FileMode) error {
	return f.sys.change("chmod", f.name, func() error { return f.file.Chmod(mode) })
}

func (f *createdFile) Sync() error {
	return f.sys.change("fsync", f.name, f.file.Sync)
}

// isMissing reports whether there is nothing at a real path: also if a part of it
// is no directory, or a symlink.
func isMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// lstat reads all attributes of a name; of a regular file the digest too if it is
// asked for. What is not there is fs.ErrNotExist.
func (s *system) lstat(name string, hash hashing) (plist.Entry, capture.Inode, error) {
	e, inode, err := s.disk.lstat(name, hash)
	e.Op, e.Path = plist.OpAdd, name
	if isMissing(err) {
		err = syscall.ENOENT
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
	there, err := s.disk.exists(name)
	if isMissing(err) {
		return false, nil
	}
	return there, callError("lstat", name, err)
}

// readDir returns the names in a directory, sorted.
func (s *system) readDir(name string) ([]string, error) {
	names, err := s.disk.readDir(name)
	return names, callError("open", name, err)
}

// openFile opens a regular file to read.
func (s *system) openFile(name string) (content, error) {
	f, err := s.disk.openFile(name)
	return f, callError("open", name, err)
}

// space says what a directory's file system has room for.
func (s *system) space(dir string) (space, error) {
	sp, err := s.disk.space(dir)
	return sp, callError("statfs", dir, err)
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
