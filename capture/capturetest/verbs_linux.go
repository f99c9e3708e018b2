package capturetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Verb does one small thing in the working directory.
type Verb func() error

// perform does one verb after the other.
func perform(verbs []Verb) error {
	for i, v := range verbs {
		if err := v(); err != nil {
			return fmt.Errorf("verb %d: %w", i, err)
		}
	}
	return nil
}

// old is the time of all that was there before a scene.
var old = time.Unix(1_000_000_000, 123456789)

// Age gives everything below the working directory a time before the scene, but for
// what must not be changed.
func Age() error {
	return filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := Touch(path, old)(); !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	})
}

// Write makes a file, or writes one anew.
func Write(path, text string) Verb {
	return func() error { return os.WriteFile(path, []byte(text), 0o644) }
}

// Append writes at the end of a file.
func Append(path, text string) Verb { return write(path, os.O_APPEND, text) }

// Overwrite writes at the beginning of a file.
func Overwrite(path, text string) Verb { return write(path, 0, text) }

// Open opens a file to write, and writes nothing.
func Open(path string) Verb { return write(path, 0, "") }

func write(path string, flags int, text string) Verb {
	return func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|flags, 0)
		if err != nil {
			return err
		}
		if text != "" {
			_, err = f.WriteString(text)
		}
		return errors.Join(err, f.Close())
	}
}

// Truncate sets the size of a file.
func Truncate(path string, size int64) Verb {
	return func() error { return os.Truncate(path, size) }
}

// Mkdir makes a directory and its parents.
func Mkdir(path string) Verb { return func() error { return os.MkdirAll(path, 0o755) } }

// Remove removes a file or an empty directory.
func Remove(path string) Verb { return func() error { return os.Remove(path) } }

// RemoveAll removes a tree.
func RemoveAll(path string) Verb { return func() error { return os.RemoveAll(path) } }

// Rename renames as rename(2) does, which os.Rename does not where an empty
// directory is to make room.
func Rename(from, to string) Verb { return func() error { return unix.Rename(from, to) } }

// Rename2 is renameat2(2) with flags.
func Rename2(from, to string, flags uint) Verb {
	return func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) }
}

// Link makes a hard link.
func Link(from, to string) Verb { return func() error { return os.Link(from, to) } }

// Symlink makes a symlink.
func Symlink(target, path string) Verb { return func() error { return os.Symlink(target, path) } }

// Chmod sets twelve bits of mode.
func Chmod(path string, mode uint32) Verb { return func() error { return unix.Chmod(path, mode) } }

// Chown sets the owner of a name itself.
func Chown(path string, uid, gid int) Verb { return func() error { return os.Lchown(path, uid, gid) } }

// Touch sets both times of a name itself.
func Touch(path string, t time.Time) Verb {
	return func() error {
		ts, err := unix.TimeToTimespec(t)
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
}

// Setxattr sets an extended attribute of a name itself.
func Setxattr(path, name, value string) Verb {
	return func() error { return unix.Lsetxattr(path, name, []byte(value), 0) }
}

// Removexattr removes one.
func Removexattr(path, name string) Verb {
	return func() error { return unix.Lremovexattr(path, name) }
}

// Mkfifo makes a named pipe.
func Mkfifo(path string) Verb { return func() error { return unix.Mkfifo(path, 0o644) } }

// Mknod makes a character device.
func Mknod(path string, major, minor uint32) Verb {
	return func() error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(major, minor))) }
}

// Socket binds a socket to a name.
func Socket(path string) Verb {
	return func() error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }
}

// Umask sets the mask for all later verbs.
func Umask(mask int) Verb {
	return func() error {
		unix.Umask(mask)
		return nil
	}
}

// Read fails unless a file has that text: an installer reads what it wrote.
func Read(path, want string) Verb {
	return func() error {
		text, err := os.ReadFile(path)
		if err == nil && string(text) != want {
			err = fmt.Errorf("%s holds %q, not %q", path, text, want)
		}
		return err
	}
}

// Same does a verb and then gives a file the time it had before.
func Same(path string, v Verb) Verb {
	return func() error {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if err := v(); err != nil {
			return err
		}
		return Touch(path, time.Unix(st.Mtim.Unix()))()
	}
}

// refused fails if a verb does not end with that error.
func refused(v Verb, want error) Verb {
	return func() error {
		if err := v(); !errors.Is(err, want) {
			return fmt.Errorf("%v, want %w", err, want)
		}
		return nil
	}
}

// Shell runs a script: what installers do is mostly done by tools.
func Shell(script string) Verb {
	return func() error {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
}

// Exit ends the command with a status.
func Exit(status int) Verb {
	return func() error {
		os.Exit(status)
		return nil
	}
}

// Many does a verb for each number below n.
func Many(n int, v func(i int) Verb) Verb {
	return func() error {
		for i := range n {
			if err := v(i)(); err != nil {
				return err
			}
		}
		return nil
	}
}

// All does verbs as one.
func All(verbs ...Verb) Verb { return func() error { return perform(verbs) } }
