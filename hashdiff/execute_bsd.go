//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package hashdiff

import "syscall"

func attributes(root string) *syscall.SysProcAttr { return &syscall.SysProcAttr{Chroot: root} }
