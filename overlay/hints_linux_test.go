package overlay

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The remedy depends on where one is: each of these says what was seen in such a place.
func TestHints(t *testing.T) {
	apparmor := map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}
	proc := fmt.Errorf("mount on /proc: %w", unix.EPERM)
	start := fmt.Errorf("start init in new namespaces: %w", unix.EPERM)
	noRoom := fmt.Errorf("%w: /tmp: %w", errNoStaging, unix.ENOSPC)
	for _, c := range []struct {
		name     string
		in       surroundings
		rootless bool
		err      error
		want     string // in the hint
	}{
		{"overlay, user", surroundings{}, false, unix.EPERM, "run as root"},
		{"overlay, Docker", surroundings{root: true, filtered: true, covered: true}, false, unix.EPERM, "--cap-add SYS_ADMIN"},
		{"overlay, Podman of a user", surroundings{root: true, mapped: true, filtered: true}, false, unix.EPERM, "of a user namespace"},
		{"overlay, in a sandbox", surroundings{root: true, mapped: true}, false, fmt.Errorf("%w: a tmpfs: set a trusted attribute: %w", errNoStaging, unix.EPERM), "of a user namespace"},
		{"overlay, disk full", surroundings{root: true}, false, noRoom, "--staging"},
		{"overlay, no more mounts", surroundings{root: true}, false, fmt.Errorf("%w: /tmp: fsmount: %w", errNoStaging, unix.ENOSPC), "max_mnt_namespaces"},
		{"rootless, Docker", surroundings{root: true, filtered: true, covered: true}, true, start, "seccomp=unconfined"},
		{"rootless, Docker on a machine with AppArmor", surroundings{filtered: true, settings: apparmor}, true, start, "seccomp=unconfined"},
		{"rootless, covered", surroundings{filtered: true, covered: true}, true, proc, "unmask=ALL"},
		{"rootless, AppArmor", surroundings{settings: apparmor}, true, unix.EACCES, "apparmor_restrict_unprivileged_userns=0"},
		{"rootless, disk full, AppArmor", surroundings{settings: apparmor}, true, errors.New(noRoom.Error()), "--staging"},
		{"rootless, chroot", surroundings{}, true, start, "chroot"},
		{"no device", surroundings{filtered: true}, true, errors.Join(fmt.Errorf("open /dev/fuse: %w", unix.ENOENT)), "--device /dev/fuse"},
		{"device of root", surroundings{root: true, mapped: true}, true, fmt.Errorf("open /dev/fuse: %w", unix.EACCES), "root of the machine"},
		{"device refused", surroundings{root: true, filtered: true}, true, fmt.Errorf("open /dev/fuse: %w", unix.EPERM), "--device /dev/fuse"},
	} {
		hint := c.in.hint
		if c.rootless {
			hint = c.in.rootlessHint
		}
		if got := hint(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%s: hint %q, want %q in it", c.name, got, c.want)
		}
	}
}
