//go:build linux && cgo && (amd64 || arm64)

package trace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// filters returns two programs for seccomp(2), of which the kernel takes the
// stricter answer: one that lets through only numbers that are in the table, and one
// that refuses some calls and asks about those that change files.
func filters() ([][]byte, error) {
	watch, unknown, err := watchFilter(true)
	if err != nil {
		return nil, fmt.Errorf("make a seccomp filter: %w", err)
	}
	return [][]byte{knownFilter(unknown), watch}, nil
}

// writing are the flags of open(2) one of which a call has that changes something.
var writing = []uint64{unix.O_WRONLY, unix.O_RDWR, unix.O_CREAT, unix.O_TRUNC}

// ioctlTypes are those types of ioctl requests that change files: 'f' and 'X' of
// linux/fs.h, and btrfs's.
var ioctlTypes = []uint64{'f', 'X', 0x94}

// addCall adds what is done about a call; number is what libseccomp knows it by.
func addCall(f *seccomp.ScmpFilter, c *call, number seccomp.ScmpSyscall) error {
	switch errno, refused := refusals[c.verb]; {
	case c.verb == verbPass:
		return nil
	case refused:
		return f.AddRule(number, seccomp.ActErrno.SetReturnCode(int16(errno)))
	case c.verb == verbOpen && c.flags >= 0:
		for _, flag := range writing {
			if err := watchMasked(f, number, uint(c.flags), flag, flag); err != nil {
				return err
			}
		}
		return nil
	case c.verb == verbIoctl:
		for _, typ := range ioctlTypes {
			if err := watchMasked(f, number, 1, 0xff00, typ<<8); err != nil {
				return err
			}
		}
		return nil
	}
	return f.AddRule(number, seccomp.ActNotify)
}

func watchMasked(f *seccomp.ScmpFilter, number seccomp.ScmpSyscall, arg uint, mask, value uint64) error {
	c, err := seccomp.MakeCondition(arg, seccomp.CompareMaskedEqual, mask, value)
	if err != nil {
		return err
	}
	return f.AddRuleConditional(number, seccomp.ActNotify, []seccomp.ScmpCondition{c})
}

// watchFilter makes one program for all ways into this machine's kernel, and tells
// the i386 numbers that this libseccomp can not make rules of. If it refuses, it
// refuses what the table says, and a call by another way (x32) is ENOSYS; else it only
// asks.
func watchFilter(refuses bool) (program []byte, unknown []int, err error) {
	all, err := seccomp.NewFilter(seccomp.ActAllow)
	if err != nil {
		return nil, nil, err
	}
	defer all.Release()
	if err := configure(all, refuses); err != nil {
		return nil, nil, err
	}
	native := archX86_64
	if runtime.GOARCH == "arm64" {
		native = archARM64
	}
	if _, err := addCalls(all, native, refuses); err != nil {
		return nil, nil, err
	}
	if native == archX86_64 {
		var old *seccomp.ScmpFilter
		if old, unknown, err = filterI386(refuses); err == nil {
			err = all.Merge(old)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	program, err = export(all)
	return program, unknown, err
}

func configure(f *seccomp.ScmpFilter, refuses bool) error {
	other := seccomp.ActAllow
	if refuses {
		other = seccomp.ActErrno.SetReturnCode(int16(unix.ENOSYS))
	}
	if err := f.SetBadArchAction(other); err != nil {
		return err
	}
	return f.SetOptimize(2) // a binary tree; the default is one comparison after the other
}

func filterI386(refuses bool) (f *seccomp.ScmpFilter, unknown []int, err error) {
	if f, err = seccomp.NewFilter(seccomp.ActAllow); err != nil {
		return nil, nil, err
	}
	err = configure(f, refuses)
	if err == nil {
		err = f.AddArch(seccomp.ArchX86)
	}
	if err == nil {
		err = f.RemoveArch(seccomp.ArchAMD64)
	}
	if err == nil {
		unknown, err = addCalls(f, archI386, refuses)
	}
	return f, unknown, err
}

// addCalls adds all calls that an architecture has. Those of i386 go by name, and
// some names are too new for this libseccomp.
func addCalls(f *seccomp.ScmpFilter, a arch, refuses bool) (unknown []int, err error) {
	for i := range calls {
		c := &calls[i]
		if _, refused := refusals[c.verb]; c.numbers[a] < 0 || c.verb == verbPass || refused && !refuses {
			continue
		}
		number := seccomp.ScmpSyscall(c.numbers[a])
		if a == archI386 {
			if number, err = seccomp.GetSyscallFromName(c.name); err != nil {
				unknown = append(unknown, c.numbers[a])
				continue
			}
		}
		if err := addCall(f, c, number); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return unknown, nil
}

// export returns a filter as instructions of the kernel's.
func export(f *seccomp.ScmpFilter) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		err := f.ExportBPF(w)
		done <- errors.Join(err, w.Close())
	}()
	program, err := io.ReadAll(r)
	return program, errors.Join(err, <-done)
}
