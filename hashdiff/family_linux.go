package hashdiff

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A family are the processes that descend from this one, those set aside that were
// there before.
type family struct{ before []int }

// attributes has the command die with this process, and its mounts with it.
func attributes(root string) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 && canUnshare() {
		attr.Unshareflags = syscall.CLONE_NEWNS // Go makes all mounts private then
	}
	return attr
}

// canUnshare reports whether a mount namespace can be had: in a container root may
// not be allowed to, and then can not mount anything either (capabilities(7)). Where
// mount(2) is filtered, the namespace would be of no use: nothing could be made private.
func canUnshare() bool {
	if err := unix.Mount("", "", "", 0, ""); err != unix.ENOENT { // of the missing target
		return false
	}

	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&header, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// adopt makes this process the parent of whatever orphans the command will leave.
func adopt() (family, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return family{}, fmt.Errorf("PR_SET_CHILD_SUBREAPER: %w", err)
	}
	var f family
	members, err := f.members()
	for _, p := range members {
		f.before = append(f.before, p.pid)
	}
	return f, err
}

// stop waits for the family to end, then sees to it, and returns whom it had to
// stop.
func (f family) stop() ([]process, error) {
	rest, err := f.wait(outliveGrace)
	if err != nil || len(rest) == 0 {
		return nil, err
	}
	outlived := rest
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		for _, p := range rest {
			_ = unix.Kill(p.pid, sig) // it may just have ended
		}
		if rest, err = f.wait(termGrace); err != nil || len(rest) == 0 {
			return outlived, err
		}
	}
	return outlived, fmt.Errorf("process %d (%s) can not be stopped", rest[0].pid, rest[0].command)
}

// wait waits until no member is left, or the time is over, and returns the rest.
func (f family) wait(grace time.Duration) ([]process, error) {
	for end := time.Now().Add(grace); ; time.Sleep(10 * time.Millisecond) {
		members, err := f.members()
		if err != nil || len(members) == 0 && f.isChildless() || time.Now().After(end) {
			return members, err
		}
	}
}

// isChildless reports whether this process has no child, and so no descendant: orphans
// become its children at once. To read /proc is not enough: who forks and ends meanwhile
// has a child that is not met. Beside children of others it can not be told.
func (f family) isChildless() bool {
	const any = unix.WEXITED | unix.WNOHANG | unix.WNOWAIT | unix.WALL
	return len(f.before) > 0 || errors.Is(unix.Waitid(unix.P_ALL, 0, nil, any, nil), unix.ECHILD)
}

// members reads /proc for the living descendants of this process, and buries the
// dead among its children.
func (f family) members() ([]process, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	parent := make(map[int]int)
	for _, d := range all {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		ppid, dead := readStat(pid)
		if dead && ppid == self && !slices.Contains(f.before, pid) {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // who else waits for it had it first
			continue
		}
		if !dead {
			parent[pid] = ppid
		}
	}
	var members []process
	for pid := range parent {
		if slices.Contains(f.before, pid) {
			continue
		}
		for p := parent[pid]; p != 0; p = parent[p] {
			if p == self {
				members = append(members, process{pid, commandOf(pid)})
				break
			}
		}
	}
	slices.SortFunc(members, func(a, b process) int { return a.pid - b.pid })
	return members, nil
}

// readStat reads parent and state from proc_pid_stat(5); a process that is gone is
// dead. The name in brackets may itself hold brackets.
func readStat(pid int) (ppid int, dead bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if err != nil || len(fields) < 2 {
		return 0, true
	}
	ppid, err = strconv.Atoi(fields[1])
	return ppid, err != nil || fields[0] == "Z" || fields[0] == "X"
}

func commandOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) == 0 {
		return "?"
	}
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
}
