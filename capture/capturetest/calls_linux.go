package capturetest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The verbs of this file do what a tool must not miss that watches for certain
// system calls.

// opened opens a file and gives its descriptor to a function.
func opened(path string, flags int, use func(fd int) error) Verb {
	return func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o640)
		if err != nil {
			return err
		}
		return errors.Join(use(fd), unix.Close(fd))
	}
}

func writeFD(fd int, text string) error {
	_, err := unix.Write(fd, []byte(text))
	return err
}

// openat2 makes a file by openat2(2).
func openat2(path, text string) Verb {
	return func() error {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o644})
		if err != nil {
			return err
		}
		return errors.Join(writeFD(fd, text), unix.Close(fd))
	}
}

// reopen writes a file through a descriptor of /proc that was opened to read.
func reopen(path, text string) Verb {
	return opened(path, unix.O_RDONLY, func(fd int) error {
		return Write("/proc/self/fd/"+strconv.Itoa(fd), text)()
	})
}

// byHandle writes a file that is opened by its file handle.
func byHandle(path, text string) Verb {
	return func() error {
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
		if err != nil {
			return err
		}
		return opened(".", unix.O_RDONLY, func(dir int) error {
			fd, err := unix.OpenByHandleAt(dir, handle, unix.O_WRONLY)
			if err != nil {
				return err
			}
			return errors.Join(writeFD(fd, text), unix.Close(fd))
		})()
	}
}

// inDir does all that can be done relative to the descriptor of a directory, which
// gets another name meanwhile.
func inDir(dir, newName string) Verb {
	return opened(dir, unix.O_PATH, func(fd int) error {
		file, err := unix.Openat(fd, "first", unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(
			os.Rename(dir, newName),
			writeFD(file, "1"),
			unix.Mkdirat(fd, "sub", 0o755),
			unix.Renameat(fd, "first", fd, "sub/second"),
			unix.Linkat(fd, "sub/second", fd, "hard", 0),
			unix.Symlinkat("hard", fd, "soft"),
			unix.Mknodat(fd, "fifo", unix.S_IFIFO|0o600, 0),
			unix.Fchmodat(fd, "hard", 0o600, 0),
			unix.Fchownat(fd, "soft", 1, 1, unix.AT_SYMLINK_NOFOLLOW),
			unix.Unlinkat(fd, "old", 0),
			unix.Close(file),
		)
	})
}

// linkOpen makes a hard link to what is open; before Linux 6.10 only root may.
func linkOpen(from, to string) Verb {
	return opened(from, unix.O_PATH, func(fd int) error {
		err := unix.Linkat(fd, "", unix.AT_FDCWD, to, unix.AT_EMPTY_PATH)
		if err == unix.ENOENT {
			return os.Link(from, to)
		}
		return err
	})
}

// tmpfile makes a file that has no name before it is complete, in both spellings
// of open(2).
func tmpfile(path string, byProc bool) Verb {
	return opened(filepath.Dir(path), unix.O_TMPFILE|unix.O_RDWR, func(fd int) error {
		if err := writeFD(fd, "1"); err != nil {
			return err
		}
		if byProc {
			return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		}
		return unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
	})
}

// mapped writes a file by writing to memory.
func mapped(path, text string) Verb {
	return opened(path, unix.O_RDWR, func(fd int) error {
		memory, err := unix.Mmap(fd, 0, len(text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		copy(memory, text)
		return unix.Munmap(memory)
	})
}

// mappedBefore wants a mapping made to read to show what is written later.
func mappedBefore(path, text string) Verb {
	return opened(path, unix.O_RDONLY, func(fd int) error {
		memory, err := unix.Mmap(fd, 0, len(text), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		if err := Overwrite(path, text)(); err != nil {
			return err
		}
		if !bytes.Equal(memory, []byte(text)) {
			err = errors.New("the mapping is stale")
		}
		return errors.Join(err, unix.Munmap(memory))
	})
}

// copied copies a file inside the kernel, by each call that does.
func copied(from string, to [3]string) Verb {
	return opened(from, unix.O_RDONLY, func(in int) error {
		return errors.Join(
			opened(to[0], unix.O_CREAT|unix.O_WRONLY, func(out int) error {
				_, err := unix.CopyFileRange(in, new(int64), out, nil, 1<<20, 0)
				return err
			})(),
			opened(to[1], unix.O_CREAT|unix.O_WRONLY, func(out int) error {
				_, err := unix.Sendfile(out, in, new(int64), 1<<20)
				return err
			})(),
			opened(to[2], unix.O_CREAT|unix.O_WRONLY, func(out int) error { return spliced(in, out) })(),
		)
	})
}

func spliced(in, out int) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	n, err := unix.Splice(in, new(int64), pipe[1], nil, 1<<16, 0)
	if err == nil {
		_, err = unix.Splice(pipe[0], nil, out, nil, int(n), 0)
	}
	return errors.Join(err, unix.Close(pipe[0]), unix.Close(pipe[1]))
}

// holes allocates room in one file and punches a hole in another.
func holes(allocate, punch string) Verb {
	return All(
		opened(allocate, unix.O_WRONLY, func(fd int) error { return unix.Fallocate(fd, 0, 0, 10000) }),
		opened(punch, unix.O_WRONLY, func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
		}),
	)
}

// byDescriptor changes metadata of what is open to read.
func byDescriptor(path string) Verb {
	return opened(path, unix.O_RDONLY, func(fd int) error {
		return errors.Join(unix.Fchown(fd, 1, 1), unix.Fchmod(fd, 0o600), unix.Fsetxattr(fd, "user.fd", []byte("1"), 0),
			unix.Futimes(fd, []unix.Timeval{{Sec: 5}, {Sec: 5}}))
	})
}

// newCalls changes metadata by calls of Linux 6.6 and 6.13; older kernels refuse
// them, whoever is looking.
func newCalls(path string) Verb {
	return func() error {
		name, err := unix.BytePtrFromString(path)
		if err != nil {
			return err
		}
		_, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, ^uintptr(99), uintptr(unsafe.Pointer(name)), 0o600, 0, 0, 0) // AT_FDCWD is -100
		if errno != 0 && errno != unix.ENOSYS {
			return fmt.Errorf("fchmodat2: %w", errno)
		}
		attr, value := []byte("user.at\x00"), []byte("1")
		args := struct {
			value       uint64
			size, flags uint32
		}{uint64(uintptr(unsafe.Pointer(&value[0]))), 1, 0} // struct xattr_args of linux/xattr.h
		_, _, errno = unix.Syscall6(unix.SYS_SETXATTRAT, ^uintptr(99), uintptr(unsafe.Pointer(name)), 0,
			uintptr(unsafe.Pointer(&attr[0])), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
		runtime.KeepAlive(value)
		if errno != 0 && errno != unix.ENOSYS {
			return fmt.Errorf("setxattrat: %w", errno)
		}
		return nil
	}
}

// unlinked writes a file that has lost its name.
func unlinked(path string) Verb {
	return opened(path, unix.O_CREAT|unix.O_RDWR, func(fd int) error {
		return errors.Join(os.Remove(path), writeFD(fd, "1"))
	})
}

// stale reads through a descriptor, opened before, what is written later.
func stale(path, text string) Verb {
	return opened(path, unix.O_RDWR, func(fd int) error {
		if err := Write(path, text)(); err != nil {
			return err
		}
		buf := make([]byte, len(text))
		n, err := unix.Pread(fd, buf, 0)
		if err == nil && string(buf[:n]) != text {
			err = fmt.Errorf("the descriptor reads %q", buf[:n])
		}
		return err
	})
}

// quiet wants reading by O_NOATIME, from the disk, to leave no access time.
func quiet(path string) Verb {
	return opened(path, unix.O_RDONLY|unix.O_NOATIME, func(fd int) error {
		if err := errors.Join(Touch(path, old)(), unix.Fdatasync(fd), unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)); err != nil {
			return err
		}
		var st unix.Stat_t
		_, err := unix.Read(fd, make([]byte, 10))
		if err := errors.Join(err, unix.Fstat(fd, &st)); err != nil {
			return err
		}
		if read := time.Unix(st.Atim.Unix()); !read.Equal(old) {
			return fmt.Errorf("%s has the access time %v", path, read)
		}
		return nil
	})
}

// locked wants a lock taken before the first write to exclude one taken after it.
func locked(path string) Verb {
	return opened(path, unix.O_RDONLY, func(fd int) error {
		if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
			return err
		}
		return opened(path, unix.O_RDWR, func(other int) error {
			if err := unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
				return fmt.Errorf("locked twice: %w", err)
			}
			return writeFD(other, "1")
		})()
	})
}

// steady wants the inode number to stay at the first write, and readdir(3) to
// tell the same.
func steady(path string) Verb {
	number := func() (uint64, error) {
		var st unix.Stat_t
		err := unix.Lstat(path, &st)
		return st.Ino, err
	}
	return func() error {
		before, err := number()
		if err != nil {
			return err
		}
		if err := Append(path, "1")(); err != nil {
			return err
		}
		after, err := number()
		if err == nil && before != after {
			err = fmt.Errorf("inode %d became %d", before, after)
		}
		return err
	}
}

// rendezvous sends a word through a fifo.
func rendezvous(fifo, to string) Verb {
	return func() error {
		sent := make(chan error)
		go func() { sent <- Append(fifo, "word\n")() }()
		err := Shell("head -n 1 " + fifo + " >" + to)()
		return errors.Join(err, <-sent)
	}
}

// atOnce does verbs at the same time.
func atOnce(n int, v func(i int) Verb) Verb {
	return func() error {
		var wait sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wait.Go(func() { errs[i] = v(i)() })
		}
		wait.Wait()
		return errors.Join(errs...)
	}
}

// Kill ends the command by a signal.
func Kill(sig syscall.Signal) Verb {
	return func() error { return errors.Join(syscall.Kill(os.Getpid(), sig), errors.New("survived")) }
}

// As runs a script as another user.
func As(uid, gid uint32, script string) Verb {
	return func() error {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		return cmd.Run()
	}
}

// Traced runs a script under ptrace(2).
func Traced(script string) Verb {
	return func() error {
		runtime.LockOSThread() // who traces is a thread
		defer runtime.UnlockOSThread()
		cmd := exec.Command("sh", "-ec", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
		if err := cmd.Start(); err != nil {
			return err
		}
		for {
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
				return err
			}
			if status.Exited() && status.ExitStatus() == 0 {
				return nil
			}
			if !status.Stopped() {
				return fmt.Errorf("tracee ended with %#x", uint32(status))
			}
			if err := syscall.PtraceSyscall(cmd.Process.Pid, 0); err != nil {
				return err
			}
		}
	}
}

// NoNewPrivileges forbids set-id programs for all later verbs.
func NoNewPrivileges() error {
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// Chroot makes a directory the root for all later verbs.
func Chroot(path string) Verb {
	return func() error { return errors.Join(unix.Chroot(path), os.Chdir("/")) }
}

// aroundChroot changes what is outside of a new root by what was opened before.
func aroundChroot(jail, file, dir string) Verb {
	return opened(file, unix.O_WRONLY|unix.O_APPEND, func(fd int) error {
		return opened(dir, unix.O_RDONLY, func(at int) error {
			if err := Chroot(jail)(); err != nil {
				return err
			}
			made, err := unix.Openat(at, "made", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				return err
			}
			return errors.Join(writeFD(fd, "2"), writeFD(made, "1"), unix.Close(made), unix.Fchmod(at, 0o700), Write("/inside", "1")())
		})()
	})
}

// Unshare gives all later verbs a mount namespace of their own.
func Unshare() error {
	runtime.LockOSThread() // for good: namespaces are of a thread
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// Mount mounts something.
func Mount(source, target, fstype string, flags uintptr) Verb {
	return func() error { return unix.Mount(source, target, fstype, flags, "") }
}

// download gets a word from a server on the loopback interface.
func download(to string) Verb {
	return func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Write([]byte("word")) // the reader will miss it
				_ = c.Close()
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		return Write(to, string(buf[:n]))()
	}
}
