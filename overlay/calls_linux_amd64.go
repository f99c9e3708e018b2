package overlay

import "golang.org/x/sys/unix"

// oldCalls take no directory.
var oldCalls = []call{
	{nr: unix.SYS_MKNOD, dir: -1, path: 0, flags: -1, mode: 1, owner: -1},
	{nr: unix.SYS_CHOWN, dir: -1, path: 0, flags: -1, mode: -1, owner: 1},
	{nr: unix.SYS_LCHOWN, dir: -1, path: 0, flags: -1, mode: -1, owner: 1, nofollow: true},
}
