package sandbox

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// closed is a descriptor of syscall.ProcAttr that the new process does not have.
const closed = ^uintptr(0)

// fill opens /dev/null for those of the standard three that are nil. The caller
// closes it; closing none does no harm.
func (f *Files) fill() (null *os.File, err error) {
	for _, std := range []**os.File{&f.Stdin, &f.Stdout, &f.Stderr} {
		if *std == nil && null == nil {
			if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return nil, err
			}
		}
		if *std == nil {
			*std = null
		}
	}
	return null, nil
}

// passed returns what the command is to have as its descriptors, by number: the
// standard three, and what this program has itself inherited, such as the pipe of
// a make's job server.
//
// Preconditions: fill was called.
func (f *Files) passed() ([]uintptr, error) {
	fds := []uintptr{f.Stdin.Fd(), f.Stdout.Fd(), f.Stderr.Fd()}
	inherited, err := inheritedDescriptors()
	if err != nil {
		return nil, err
	}
	for _, fd := range inherited {
		for len(fds) <= fd {
			fds = append(fds, closed)
		}
		fds[fd] = uintptr(fd)
	}
	return fds, nil
}

// inheritedDescriptors lists those after the standard three that a program
// executed by this one has too. Go itself opens none of that kind.
func inheritedDescriptors() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		// EBADF: it was the one that read the directory.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			found = append(found, fd)
		}
	}
	return found, nil
}
