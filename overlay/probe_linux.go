package overlay

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// Probe builds the whole sandbox, has it attached in its namespaces, and runs
// nothing in it.
func (Method) Probe(ctx context.Context) error { return probe(ctx, flavour{}) }

func probe(ctx context.Context, f flavour) error {
	r, err := prepare("/", "", false, f)
	if err == nil {
		plan := sandbox.Plan{Mounts: r.mounts}
		_, err = sandbox.Run(ctx, plan, sandbox.Files{Mounts: r.files})
	}
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return &capture.Unavailable{Reason: err, Hint: hint(err)}
}

// hint names the remedy for what stopped a sandbox from being built.
func hint(err error) string {
	if h := fuseHint(err); h != "" {
		return h
	}
	switch {
	case errors.Is(err, unix.EPERM) && os.Geteuid() != 0:
		return "run as root, or choose a method that needs no privilege"
	case errors.Is(err, unix.EPERM):
		return "this root lacks CAP_SYS_ADMIN on the host, as in a container or a user namespace: start the container with --privileged or --cap-add SYS_ADMIN, or choose another method"
	case errors.Is(err, unix.ENODEV):
		return "the kernel has no overlayfs: modprobe overlay"
	case errors.Is(err, unix.ENOSYS):
		return "the kernel is older than Linux 5.12"
	case errors.Is(err, unix.ENOSPC):
		return "the limit may be /proc/sys/user/max_mnt_namespaces, or /proc/sys/fs/mount-max"
	case errors.Is(err, errNoStaging):
		return "name a directory on ext4, xfs, btrfs or tmpfs with --staging"
	case errors.Is(err, errChroot):
		return "make it one before entering it: mount --bind DIR DIR"
	case errors.Is(err, errStacked):
		return "leave the outer sandbox or container, or choose another method"
	}
	return ""
}
