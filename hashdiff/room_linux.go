package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// Where file systems can be mounted, a room gets a /proc of its own, a /sys that can
// not be written, and a /dev without any disk.

// executeIn runs the command in a room.
func executeIn(ctx context.Context, cmd capture.Command, room string) (*exit, error) {
	f, err := mountsOf(room)
	defer f.close()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		if cmd.NoNetwork || cmd.Isolate != capture.IsolateNamespaces {
			return nil, &capture.Unavailable{Reason: fmt.Errorf("the command can not be isolated: %w", err)}
		}
		e, err := execute(ctx, cmd, room)
		if err == nil {
			e.blind = append(e.blind, "what the command would have done with a /proc, /sys and /dev: none could be mounted in the copy of the root")
		}
		return e, err
	}
	if err != nil {
		return nil, err
	}
	plan := sandbox.Plan{
		Mounts: f.mounts, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		NoNetwork: cmd.NoNetwork, Container: cmd.Isolate == capture.IsolateContainer,
		Grace: outliveGrace, Term: termGrace,
	}
	e, err := sandbox.Run(ctx, plan, sandbox.Files{Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, Mounts: f.files})
	var start *sandbox.ExecError
	if errors.As(err, &start) {
		return nil, &capture.StartError{Name: start.Name, Err: start.Err}
	}
	if err != nil {
		return nil, err
	}
	ended := &exit{code: e.Code}
	for _, p := range e.Outlived {
		ended.outlived = append(ended.outlived, process{p.PID, p.Command})
	}
	return ended, nil
}

// roomMounts are the mounts of a room, none of them attached on the host.
type roomMounts struct {
	mounts []sandbox.Mount
	files  []*os.File
}

func (f *roomMounts) close() {
	for _, file := range f.files {
		file.Close() //nolint:errcheck // nothing is buffered
	}
}

func (f *roomMounts) attach(target string, mount *os.File) {
	f.mounts = append(f.mounts, sandbox.Mount{Target: target, File: len(f.files)})
	f.files = append(f.files, mount)
}

// mountPoints are made in the room before its first snapshot, so that they are no
// change.
var mountPoints = []string{"proc", "sys", "dev"}

func makeMountPoints(room string) error {
	for _, name := range mountPoints {
		if err := os.Mkdir(filepath.Join(room, name), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// mountsOf makes the mounts. The caller closes them, even after an error.
func mountsOf(room string) (*roomMounts, error) {
	f := &roomMounts{}
	root, err := cloneMount(room, 0, 0)
	if err != nil {
		return f, err
	}
	f.attach(".", root)
	f.mounts = append(f.mounts, sandbox.Mount{Target: "proc", File: -1, Type: "proc"})
	// A write to these would change the host (proc(5)).
	for _, name := range []string{"acpi", "bus", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger"} {
		f.mounts = append(f.mounts, sandbox.Mount{Target: "proc/" + name, File: -1})
	}
	sys, err := cloneMount("/sys", unix.AT_RECURSIVE, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return f, err
	}
	f.attach("sys", sys)
	return f, f.makeDev()
}

// makeDev makes a /dev of what every program may expect: null(4) and its like.
func (f *roomMounts) makeDev() error {
	dev, err := newMount("tmpfs", "mode=0755")
	if err != nil {
		return err
	}
	f.attach("dev", dev)
	fd := int(dev.Fd())
	for _, n := range []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}} {
		err := unix.Mknodat(fd, n.name, unix.S_IFCHR|0o666, int(unix.Mkdev(n.major, n.minor)))
		if err == nil {
			err = unix.Fchmodat(fd, n.name, 0o666, 0) // whatever the umask
		}
		if err != nil {
			return fmt.Errorf("make /dev/%s: %w", n.name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx",
	} {
		if err := unix.Symlinkat(target, fd, name); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for name, mode := range map[string]uint32{"pts": 0o755, "shm": 0o1777} {
		err := unix.Mkdirat(fd, name, mode)
		if err == nil {
			err = unix.Fchmodat(fd, name, mode, 0)
		}
		if err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	pts, err := newMount("devpts", "newinstance", "ptmxmode=0666", "mode=0620")
	if err != nil {
		return err
	}
	f.attach("dev/pts", pts)
	return nil
}

// newMount makes a file system and returns a mount of it that is attached nowhere.
func newMount(fstype string, options ...string) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs) //nolint:errcheck // nothing is buffered
	for _, option := range options {
		key, value, ok := strings.Cut(option, "=")
		if ok {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", fstype, option, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("%s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fsmount %s: %w", fstype, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// cloneMount returns a detached, private mount of the same as name leads to.
func cloneMount(name string, flags uint, attr uint64) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", name, err)
	}
	set := unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|flags, &set); err != nil {
		unix.Close(fd) //nolint:errcheck // the first error counts
		return nil, fmt.Errorf("mount_setattr %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
