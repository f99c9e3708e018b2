package trace

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peek reads from a thread's memory as much as there is, up to len(buf).
func peek(tid uint32, address uint64, buf []byte) (int, error) {
	local := []unix.Iovec{{Base: unsafe.SliceData(buf)}}
	local[0].SetLen(len(buf))
	n, err := unix.ProcessVMReadv(int(tid), local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(buf)}}, 0)
	return max(n, 0), err
}

const pageSize = 4096 // or more: to read less at once does no harm

// peekPath reads a path that ends in NUL. No read goes beyond a page, since the
// next one may not be there.
func (t *tracee) peekPath(address uint64) (string, error) {
	tid, buf := t.TID, t.buf[:]
	for have := 0; have < len(buf); {
		at := address + uint64(have)
		want := min(pageSize-int(at%pageSize), len(buf)-have)
		n, err := peek(tid, at, buf[have:have+want])
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(buf[have:have+n], 0); end >= 0 {
			return string(buf[:have+end]), nil
		}
		if have += n; n < want {
			return "", unix.EFAULT
		}
	}
	return "", unix.ENAMETOOLONG
}
