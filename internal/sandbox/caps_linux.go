package sandbox

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// hostCapabilities are those that reach what neither a namespace nor an overlay
// covers, and that putting files in place does not need (capabilities(7)).
// CAP_SYS_ADMIN stays: installers mount, and write trusted.* attributes.
// CAP_SYS_PTRACE and CAP_KILL end at the pid namespace.
var hostCapabilities = []uintptr{
	unix.CAP_SYS_MODULE,
	unix.CAP_SYS_RAWIO, // /dev/mem, I/O ports, raw SCSI commands
	unix.CAP_SYS_BOOT,
	unix.CAP_SYS_TIME,
	unix.CAP_SYSLOG, // clears the kernel's log
	unix.CAP_WAKE_ALARM,
	unix.CAP_BLOCK_SUSPEND,
	unix.CAP_AUDIT_CONTROL,
	unix.CAP_AUDIT_READ,
	unix.CAP_MAC_ADMIN, // loads policy
	unix.CAP_BPF,
	unix.CAP_PERFMON,
}

// containerCapabilities are what a command in a container may have: what other
// container tools give by default, and what installers use beyond it.
var containerCapabilities = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL,
	unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_SETFCAP, unix.CAP_MKNOD,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW, unix.CAP_SYS_CHROOT, unix.CAP_AUDIT_WRITE,
	unix.CAP_DAC_READ_SEARCH, // open_by_handle_at(2)
	unix.CAP_LINUX_IMMUTABLE, // chattr(1)
	unix.CAP_SYS_PTRACE,      // nested tracers; ends at the pid namespace
	unix.CAP_SYS_NICE,
}

// dropped lists the capabilities that the command does not get.
func (p *Plan) dropped() []uintptr {
	if p.Container {
		var drop []uintptr
		for c := range uintptr(unix.CAP_LAST_CAP + 1) {
			if !slices.Contains(containerCapabilities, c) {
				drop = append(drop, c)
			}
		}
		return drop
	}
	if p.NoNetwork {
		return hostCapabilities
	}
	// What it could change is the host's network.
	return append([]uintptr{unix.CAP_NET_ADMIN}, hostCapabilities...)
}

// dropCapabilities takes capabilities from this thread, and from what it executes. Without
// CAP_SETPCAP the bounding set stays, which gives them to no program but root's that may
// gain privileges.
//
// Preconditions: the goroutine is locked to its thread.
func (o *order) dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for _, c := range o.Plan.dropped() {
		// EINVAL: a capability that this kernel does not have yet.
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err != nil && err != unix.EINVAL && (err != unix.EPERM || !o.Plan.Bare) {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
		word, keep := &data[c/32], ^(uint32(1) << (c % 32))
		word.Effective &= keep
		word.Permitted &= keep
		word.Inheritable &= keep
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}
