package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
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
	attr.GidMappingsEnableSetgroups = unix.Geteuid() == 0 && maySetgroups()
}

// maySetgroups reports whether a user namespace made from here may allow setgroups(2),
// which no other does inside one that was made without privilege (user_namespaces(7)).
func maySetgroups() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(text)) != "deny"
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

// Start starts a copy of this program, which is cmd, in a user namespace of its own
// with these ids, as its root. Whoever has the same ids in a namespace of his own has
// the same files.
func (u *Users) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	u.enter(cmd.SysProcAttr)
	if !u.needHelper() {
		return cmd.Start()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	cmd.Args = append(waiting(2+len(cmd.ExtraFiles), cmd.Path), cmd.Args...)
	err = cmd.Start()
	if closeErr := r.Close(); err != nil || closeErr != nil {
		return errors.Join(err, closeErr)
	}
	if err = u.write(cmd.Process.Pid); err == nil {
		_, err = w.Write([]byte{1})
	}
	if err != nil {
		_ = cmd.Process.Kill() // it waits for nothing any more, and may have ended
		_ = cmd.Wait()
	}
	return err
}

// waiting are the arguments of a copy that is to wait for its ids, for a byte on a
// descriptor, and then to execute a program whose arguments follow.
func waiting(fd int, program string) []string {
	return []string{initName, waitWord, strconv.Itoa(fd), program}
}

// waitForUsers is the first life of a copy whose map another process has yet to
// write. It was executed as an id that is none in its namespace, and so lost all
// capabilities there; executed again as the namespace's root it has them
// (capabilities(7)).
func waitForUsers(args []string) error {
	fd, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var got int
	err = retry(func() (err error) {
		got, err = unix.Read(fd, make([]byte, 1))
		return err
	})
	if err == nil && got == 0 {
		err = errors.New("the supervisor has gone")
	}
	if err != nil {
		return err
	}
	return syscall.Exec(args[3], args[4:], os.Environ())
}
