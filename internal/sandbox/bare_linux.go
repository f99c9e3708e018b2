package sandbox

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enterBare runs the command where we are. Without a pid namespace, what it leaves
// behind becomes our children by PR_SET_CHILD_SUBREAPER.
func (o *order) enterBare() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return &StepError{"become the parent of orphans", err}
	}
	return o.run()
}

// loadFilters puts this thread under the plan's filters, and hands over the
// listener.
//
// Preconditions: the goroutine is locked to its thread.
func (o *order) loadFilters() error {
	if !MayFilter() {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return &StepError{"give up new privileges", err}
		}
	}
	last := len(o.Plan.Filters) - 1
	for i, program := range o.Plan.Filters {
		listener, err := loadFilter(program, i == last)
		if err != nil {
			return &StepError{"load a seccomp filter", err}
		}
		if i < last {
			continue
		}
		defer listener.Close()
		if err := o.tell(&report{Kind: reportFiltered, file: listener}); err != nil {
			return &StepError{"hand over the seccomp listener", err}
		}
	}
	return nil
}

// MayFilter reports whether this process may load a filter and yet gain privileges
// by set-id programs (seccomp(2)).
func MayFilter() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// loadFilter loads one program. With ask it returns who is asked. A signal does not
// take back a question that is being answered (Linux 5.19); before, it is put again.
func loadFilter(program []byte, ask bool) (*os.File, error) {
	code := unix.SockFprog{
		Len:    uint16(len(program) / unix.SizeofSockFilter),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0])),
	}
	flags := uintptr(0)
	if ask {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	for {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&code)))
		switch {
		case errno == unix.EINVAL && flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0:
			flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		case errno != 0:
			return nil, errno
		case !ask:
			return nil, nil
		default:
			unix.CloseOnExec(int(fd))
			return os.NewFile(fd, "seccomp listener"), nil
		}
	}
}

// family names the living descendants of this process in proc, an open /proc.
func family(proc *os.Root) []Process {
	dirs, err := fs.ReadDir(proc.FS(), ".")
	if err != nil {
		return nil
	}
	parents := make(map[int]int)
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(dir.Name()); err == nil {
			parents[pid] = parentOf(pid)
		}
	}
	var found []Process
	for pid := range parents {
		for p := parents[pid]; p > 0; p = parents[p] {
			if p != os.Getpid() {
				continue
			}
			if command := commandLine(proc, strconv.Itoa(pid)); command != "" {
				found = append(found, Process{pid, command})
			}
			break
		}
	}
	return found[:min(len(found), maxOutlived)]
}

// killFamily signals every descendant.
func killFamily(proc *os.Root, sig syscall.Signal) {
	for _, p := range family(proc) {
		_ = unix.Kill(p.PID, sig) // it may just have ended
	}
}

// stopFamily kills every descendant, and those that these start meanwhile.
func stopFamily() {
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		return
	}
	for len(family(proc)) > 0 {
		killFamily(proc, unix.SIGKILL)
		time.Sleep(time.Millisecond)
	}
}
