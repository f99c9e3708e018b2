package sandbox

import (
	"fmt"

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

// dropCapabilities takes hostCapabilities from this thread, and from what it
// executes. Without a network of its own, the command may not change the host's.
//
// Preconditions: the goroutine is locked to its thread.
func dropCapabilities(ownNetwork bool) error {
	drop := hostCapabilities
	if !ownNetwork {
		drop = append([]uintptr{unix.CAP_NET_ADMIN}, drop...)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for _, c := range drop {
		// EINVAL: a capability that this kernel does not have yet.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
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
