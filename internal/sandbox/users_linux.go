package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// needHelper reports whether only newuidmap(1) and newgidmap(1) may write the map:
// more than one's own id takes privilege (user_namespaces(7)).
func (u *Users) needHelper() bool {
	return u != nil && unix.Geteuid() != 0 && (len(u.UIDs) > 1 || len(u.GIDs) > 1)
}

// enter says in which user namespace a process is to begin.
func (u *Users) enter(attr *syscall.SysProcAttr) {
	if u == nil {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	if u.needHelper() {
		return
	}
	for _, m := range u.UIDs {
		attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: m.Inside, HostID: m.Outside, Size: m.Size})
	}
	for _, m := range u.GIDs {
		attr.GidMappings = append(attr.GidMappings, syscall.SysProcIDMap{ContainerID: m.Inside, HostID: m.Outside, Size: m.Size})
	}
	attr.GidMappingsEnableSetgroups = unix.Geteuid() == 0
}

// write lets the helpers write the maps of a process.
func (u *Users) write(pid int) error {
	for _, h := range []struct {
		program string
		maps    []IDMap
	}{{"newuidmap", u.UIDs}, {"newgidmap", u.GIDs}} {
		args := []string{strconv.Itoa(pid)}
		for _, m := range h.maps {
			args = append(args, strconv.Itoa(m.Inside), strconv.Itoa(m.Outside), strconv.Itoa(m.Size))
		}
		if out, err := exec.Command(h.program, args...).CombinedOutput(); err != nil {
			return &UsersError{fmt.Errorf("%s: %w: %s", h.program, err, bytes.TrimSpace(out))}
		}
	}
	return nil
}

// A UsersError says that a helper refused to write a map.
type UsersError struct{ Err error }

func (e *UsersError) Error() string { return e.Err.Error() }
func (e *UsersError) Unwrap() error { return e.Err }

// waitForUsers is the first life of a copy whose map the supervisor has yet to
// write. It was executed as an id that is none in its namespace, and so lost all
// capabilities there; executed again as the namespace's root it has them
// (capabilities(7)).
func waitForUsers(first string) error {
	n, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	var got int
	err = retry(func() (err error) {
		got, err = unix.Read(n+fdSocket, make([]byte, 1))
		return err
	})
	if err == nil && got == 0 {
		err = errors.New("the supervisor has gone")
	}
	if err != nil {
		return err
	}
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", n+fdExe), []string{initName, first}, os.Environ())
}
