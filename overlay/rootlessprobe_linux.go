package overlay

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Probe builds the whole sandbox and runs nothing in it.
func (Rootless) Probe(ctx context.Context) error {
	return probeRootless(ctx, flavour{userxattr: true})
}

func probeRootless(ctx context.Context, f flavour) error {
	c, _, err := sandboxed(ctx, "/", capture.Command{}, f)
	if err == nil {
		err = c.close()
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return rootlessError(err)
}

// switches are the settings that keep ordinary users from having user namespaces,
// each with the value that does, and what to do about it.
var switches = []struct{ file, off, hint string }{
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor keeps user namespaces from programs without a profile that allows them: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this program a profile with \"userns,\""},
}

// rootlessHint names the remedy for what stopped a rootless sandbox from being
// built.
func rootlessHint(err error) string {
	if h := fuseHint(err); h != "" {
		return h
	}
	for _, s := range switches {
		value, readErr := os.ReadFile(s.file)
		if readErr == nil && strings.TrimSpace(string(value)) == s.off {
			return s.hint
		}
	}
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "the limit is one of /proc/sys/user/max_*_namespaces"
	case errors.Is(err, unix.ENOSYS), olderThan(5, 12):
		return "the kernel is older than Linux 5.12, in which a user namespace can first mount overlays with attributes of its own"
	case errors.Is(err, unix.EPERM):
		return "user namespaces are refused here, as in a chroot, or by the seccomp filter of a container: leave it, or choose another method"
	case errors.Is(err, errNoStaging):
		return "name a directory on ext4, xfs or btrfs with --staging"
	}
	return hint(err)
}

// fuseHint names the remedy if it was /dev/fuse that could not be opened. Of what init
// met, only the text and the number come through to us.
func fuseHint(err error) string {
	if !strings.Contains(err.Error(), "open "+fuseDevice) {
		return ""
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return "the kernel's FUSE is not there: modprobe fuse; in a container, start it with --device /dev/fuse"
	case errors.Is(err, fs.ErrPermission):
		return "users may not open /dev/fuse: chmod 666 /dev/fuse, or in a container, start it with --device /dev/fuse"
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
