package overlay

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Surroundings are what there is around this process and decides which remedy is the right
// one: one error has many causes.
type surroundings struct {
	root     bool              // the user is root
	mapped   bool              // of a user namespace, not of the machine
	filtered bool              // a filter of system calls is in force (seccomp(2))
	covered  bool              // something is mounted below /proc
	settings map[string]string // of switches, by their file
}

// here looks around. What can not be looked at is not there.
func here() surroundings {
	s := surroundings{root: os.Geteuid() == 0, mapped: !allIDs(), settings: make(map[string]string)}
	status, _ := os.ReadFile("/proc/self/status")
	s.filtered = strings.Contains(string(status), "\nSeccomp:\t2\n")
	below, _ := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, "/proc/"), false
	})
	s.covered = len(below) > 0
	for _, w := range switches {
		value, _ := os.ReadFile(w.file)
		s.settings[w.file] = strings.TrimSpace(string(value))
	}
	return s
}

// What starts a container in which all is allowed that a sandbox takes without
// privilege: the filters of Docker and Podman, what they mount over parts of /proc, and
// AppArmor's profile of Docker's each refuse some of it.
const (
	withFuse     = "--device /dev/fuse"
	withUsers    = "--security-opt seccomp=unconfined"
	withProc     = "--security-opt systempaths=unconfined (Docker) or --security-opt unmask=ALL (Podman)"
	withAppArmor = "--security-opt apparmor=unconfined"
)

// hint names the remedy for what stopped a sandbox from being built.
func (s surroundings) hint(err error) string {
	if h := fuseHint(err); h != "" {
		return h
	}
	switch {
	case errors.Is(err, unix.EPERM) && s.root && s.mapped:
		return "this root is not the machine's but that of a user namespace, as in a container that was started without privilege: choose another method"
	case errors.Is(err, errNoStaging) && !(errors.Is(err, unix.ENOSPC) && strings.Contains(err.Error(), "fsmount: ")):
		return "name a directory on ext4, xfs, btrfs or tmpfs, with room in it, with --staging"
	case errors.Is(err, unix.EPERM) && !s.root:
		return "run as root, or choose a method that needs no privilege"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && s.root:
		return "this root lacks CAP_SYS_ADMIN, or AppArmor confines it, as in a container: start that with --privileged, or --cap-add SYS_ADMIN " + withAppArmor + ", or choose another method"
	case errors.Is(err, unix.ENODEV):
		return "the kernel has no overlayfs: modprobe overlay"
	case errors.Is(err, unix.ENOSYS):
		return "the kernel is older than Linux 5.12"
	case errors.Is(err, unix.ENOSPC):
		return "the limit may be /proc/sys/user/max_mnt_namespaces, or /proc/sys/fs/mount-max"
	case errors.Is(err, errChroot):
		return "make it one before entering it: mount --bind DIR DIR"
	case errors.Is(err, errStacked):
		return "leave the outer sandbox or container, or choose another method"
	}
	return ""
}

// switches are the settings that keep ordinary users from having user namespaces,
// each with the value that does, what is then answered, and what to do about it.
var switches = []struct {
	file, off string
	answers   []error
	hint      string
}{
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", []error{unix.EPERM}, "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "0", []error{unix.ENOSPC}, "sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", []error{unix.EPERM, unix.EACCES}, "AppArmor keeps user namespaces from programs without a profile that allows them: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this program a profile with \"userns,\""},
}

// rootlessHint names the remedy for what stopped a rootless sandbox from being built.
func (s surroundings) rootlessHint(err error) string {
	if h := fuseHint(err); h != "" {
		return h
	}
	refused := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	switch {
	case errors.Is(err, errNoStaging), strings.Contains(err.Error(), errNoStaging.Error()):
		return "name a directory on ext4, xfs or btrfs, with room in it, with --staging"
	case refused && s.covered && strings.Contains(err.Error(), "mount on /proc: "):
		return "parts of /proc are covered, as in a container, and then the kernel lets no user namespace mount another: start it with " + withProc + ", or choose another method"
	case refused && s.filtered:
		return "a filter refuses user namespaces, as in a container: start it with " + strings.Join([]string{withFuse, withUsers, withAppArmor, withProc}, " ") + ", or choose another method"
	}
	for _, w := range switches {
		for _, answer := range w.answers {
			if s.settings[w.file] == w.off && errors.Is(err, answer) {
				return w.hint
			}
		}
	}
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "the limit is one of /proc/sys/user/max_*_namespaces"
	case errors.Is(err, unix.ENOSYS), olderThan(5, 12):
		return "the kernel is older than Linux 5.12, in which a user namespace can first mount overlays with attributes of its own"
	case refused:
		return "user namespaces are refused here, as in a chroot: leave it, or choose another method"
	}
	return s.hint(err)
}

// fuseHint names the remedy if it was /dev/fuse that could not be opened. Of what init
// met, only the text and the number come through to us.
func fuseHint(err error) string {
	if !strings.Contains(err.Error(), "open "+fuseDevice) {
		return ""
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "the kernel's FUSE is not there: modprobe fuse; in a container, start it with " + withFuse
	case errors.Is(err, unix.EPERM): // the device cgroup's answer
		return "the container may not use " + fuseDevice + ": start it with " + withFuse
	case errors.Is(err, fs.ErrPermission):
		return "users may not open " + fuseDevice + ": chmod 666 " + fuseDevice + " as root of the machine, also for a container"
	}
	return ""
}

// olderThan reports whether the kernel is older than a version.
func olderThan(major, minor int) bool {
	have, least := kernelVersion(), [2]int{major, minor}
	return have[0] < least[0] || have[0] == least[0] && have[1] < least[1]
}

func kernelVersion() (v [2]int) {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return [2]int{1 << 30, 0}
	}
	part := 0
	for _, c := range name.Release {
		switch {
		case c >= '0' && c <= '9':
			v[part] = v[part]*10 + int(c-'0')
		case part == 1:
			return v
		default:
			part++
		}
	}
	return v
}
