package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

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

// withoutLayout leaves out the names under which XFS shows once more what
// system.posix_acl_access and _default are: setting those sets these.
func withoutLayout(xattrs map[string]string) map[string]string {
	maps.DeleteFunc(xattrs, func(name, _ string) bool {
		return name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"
	})
	if len(xattrs) == 0 {
		return nil
	}
	return xattrs
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

// setAttributes gives the file of this name the attributes of e, but for the flags
// that pin sets. The order matters: chown drops set-id bits and capabilities, an
// ACL and the mode change each other, and everything may change the time.
func (s *system) setAttributes(name string, e *plist.Entry) error {
	now, _, err := s.lstat(name, noHash)
	if err != nil {
		return err
	}
	fd, err := s.open(name, pathOnly)
	if err != nil {
		return callError("open", name, err)
	}
	at := "/proc/self/fd/" + strconv.Itoa(fd) // the file itself, even if it is a symlink
	set := func(call string, do func() error) {
		if err == nil {
			if err = s.about(call, name); err == nil {
				err = do()
			}
			err = callError(call, name, err)
		}
	}
	set("chown", func() error { return unix.Fchownat(fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH) })
	if e.Mode.Type() != fs.ModeSymlink {
		set("chmod", func() error { return unix.Chmod(at, plist.UnixPerm(e.Mode)) })
	}
	if len(now.Xattrs)+len(e.Xattrs) > 0 {
		set("setxattr", func() error { return setXattrs(at, now.Xattrs, e.Xattrs) })
	}
	if want := e.Flags &^ pinned; now.Flags != want {
		set("setflags", func() error { return setFlags(at, now.Flags, want) })
	}
	set("utimens", func() error {
		times := []unix.Timespec{
			{Nsec: unix.UTIME_OMIT},
			{Sec: e.ModTime.Unix(), Nsec: int64(e.ModTime.Nanosecond())},
		}
		return unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH)
	})
	return closing(fd, err)
}

// pinned are the inode flags of a file that can be neither renamed nor removed:
// FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h.
const pinned = 0x10 | 0x20

// pin sets the flags that setAttributes leaves out.
func (s *system) pin(e *plist.Entry) error {
	if e.Flags&pinned == 0 {
		return nil
	}
	return s.change("setflags", e.Path, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, pathOnly|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return closing(fd, setFlags("/proc/self/fd/"+strconv.Itoa(fd), 0, e.Flags))
	})
}

// setXattrs makes the extended attributes of a file, now, those that are wanted.
func setXattrs(at string, now, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := want[name]; ok || name == "security.selinux" { // a policy's own, by path
			continue
		}
		if err := unix.Removexattr(at, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := unix.Setxattr(at, name, []byte(want[name]), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setFlags puts the flags that are wanted in the place of those that a user may
// set and that are set now. The others are the file system's own.
func setFlags(at string, now, want uint32) error {
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	all, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(all&^now|want))
	}
	return closing(fd, err)
}
