//go:build linux && amd64

package redirect

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peek reads from a thread's memory.
func (t *thread) peek(address uint64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: unsafe.SliceData(buf), Len: uint64(len(buf))}}
	n, err := unix.ProcessVMReadv(t.tid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(buf)}}, 0)
	if err != nil || n < len(buf) {
		return unix.EFAULT
	}
	return nil
}

// poke writes to a thread's memory.
func (t *thread) poke(address uint64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: unsafe.SliceData(buf), Len: uint64(len(buf))}}
	n, err := unix.ProcessVMWritev(t.tid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(buf)}}, 0)
	if err != nil || n < len(buf) {
		return unix.EFAULT
	}
	return nil
}

const pageSize = 4096

// text reads what ends in NUL, and has less than limit bytes with it. No read goes
// beyond a page, since the next one may not be there.
func (t *thread) text(address uint64, limit int) (string, error) {
	buf := make([]byte, limit)
	for have := 0; have < limit; {
		at := address + uint64(have)
		want := min(pageSize-int(at%pageSize), limit-have)
		if err := t.peek(at, buf[have:have+want]); err != nil {
			return "", err
		}
		if end := bytes.IndexByte(buf[have:have+want], 0); end >= 0 {
			return string(buf[:have+end]), nil
		}
		have += want
	}
	return "", unix.ENAMETOOLONG
}

// bytesOf are those of a value without pointers.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
