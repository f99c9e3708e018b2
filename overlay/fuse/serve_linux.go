package fuse

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A device is an open /dev/fuse of which a few threads answer the requests.
//
// A command waits for each of its answers, so what counts is how fast the server has a
// request that comes while it waits. Reading as go-fuse's own loop does, in a blocking
// system call, costs a multiple of most answers: the Go runtime takes the processor
// from a thread that blocks, its monitor wakes up to do so, and gives one back
// afterwards. Here a thread that waits is taken for one that computes, as long as requests
// come one after the other.
type device struct {
	fd      int
	answers *gofuse.ProtocolServer
	threads int
	kernel  gofuse.InitIn // what it can do
	broken  atomic.Pointer[error]
}

// maxMessage bounds a request and an answer: 1 MiB of content, and what goes before it.
const maxMessage = 1<<20 + 4096

// newDevice takes a descriptor over that has been mounted, and answers INIT, the first
// request. It is not to be called by two at once.
func newDevice(fd int, answers *gofuse.ProtocolServer) (*device, error) {
	d := &device{fd: fd, answers: answers, threads: runtime.NumCPU() + 2}
	in, out := make([]byte, maxMessage), make([]byte, maxMessage)
	n, err := unix.Read(fd, in)
	if err == nil {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&d.kernel)), unsafe.Sizeof(d.kernel)), in[:n])
		err = d.answer(in[:n], out)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("init: %w", err)
	}
	// Each thread may seem to compute, and there is a collector of garbage.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + d.threads)
	return d, nil
}

// serve answers requests until the last mount is gone.
func (d *device) serve() error {
	var all sync.WaitGroup
	for range d.threads {
		all.Go(func() {
			if err := d.loop(); err != nil {
				d.broken.CompareAndSwap(nil, &err)
			}
		})
	}
	all.Wait()
	if err := d.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// loop answers one request after the other.
func (d *device) loop() error {
	runtime.LockOSThread()
	w, err := newWaiter(d.fd)
	if err != nil {
		return err
	}
	defer w.close()
	in, out := make([]byte, maxMessage), make([]byte, maxMessage)
	for {
		if err := w.wait(); err != nil {
			return err
		}
		n, errno := rawRead(d.fd, in)
		switch errno {
		case 0:
			if err := d.answer(in[:n], out); err != nil {
				return err
			}
			w.busy()
		case unix.EAGAIN, unix.EINTR, unix.ENOENT: // ENOENT: who asked has gone
		case unix.ENODEV: // unmounted
			return nil
		default:
			return os.NewSyscallError("read /dev/fuse", errno)
		}
	}
}

func rawRead(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// opcodeInterrupt is FUSE_INTERRUPT, which wants no answer: nothing waits here for what
// an interrupt could end.
const opcodeInterrupt = 36

// answer answers a request.
func (d *device) answer(in, out []byte) error {
	header := (*gofuse.InHeader)(unsafe.Pointer(&in[0]))
	if header.Opcode == opcodeInterrupt {
		return nil
	}
	n, code := d.answers.HandleRequest([][]byte{in}, [][]byte{out})
	if !code.Ok() {
		return fmt.Errorf("request %d of %d bytes: %v", header.Opcode, len(in), code)
	}
	if n == 0 {
		return nil
	}
	for {
		_, err := unix.Write(d.fd, out[:n])
		switch err {
		case nil, unix.ENOENT: // ENOENT: nobody waits any more
			return nil
		case unix.EINTR:
		default:
			return os.NewSyscallError("write /dev/fuse", err)
		}
	}
}

// A waiter waits for a request.
type waiter struct {
	epoll int
	last  time.Time // when there was a request
}

// newWaiter makes one of several for a descriptor, of which each request wakes one, the
// first that waits: EPOLLEXCLUSIVE.
func newWaiter(fd int) (*waiter, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return &waiter{epoll: epoll}, nil
}

func (w *waiter) close() { unix.Close(w.epoll) }

// busy tells that there was a request.
func (w *waiter) busy() { w.last = time.Now() }

// patience is how long a thread that waits is taken for one that computes. The collector
// interrupts it (signal(7): epoll_wait is not restarted), again and again until it has.
const patience = 5 * time.Millisecond

func (w *waiter) wait() error {
	var event unix.EpollEvent
	if time.Since(w.last) < patience {
		_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&event)), 1, uintptr(patience.Milliseconds()), 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("epoll_wait", errno)
		}
		return nil
	}
	_, err := unix.EpollWait(w.epoll, []unix.EpollEvent{event}, -1) // patience is at an end: as Go does it
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	return nil
}
