package fuse

import (
	"errors"
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
//
// One thread waits for requests, and answers them: were there a second one, each request
// that comes before the first waits again would wake it, for nothing. Another takes over
// if an answer takes long.
type device struct {
	fd      int
	answers *gofuse.ProtocolServer
	threads int
	kernel  gofuse.InitIn // what it can do
	broken  atomic.Pointer[error]

	turn  chan struct{} // has one in it if no thread reads: who takes that does
	last  time.Time     // when who has the turn read a request
	state atomic.Uint64 // grows; odd while who has the turn answers a request

	idle  atomic.Bool // watch waits
	awake chan struct{}
}

// maxMessage bounds a request and an answer: 1 MiB of content, and what goes before it.
const maxMessage = 1<<20 + 4096

// newDevice takes a descriptor over that has been mounted, and answers INIT, the first
// request. It is not to be called by two at once.
func newDevice(dev *os.File, answers *gofuse.ProtocolServer) (*device, error) {
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 0) // out of reach of Go's poller
	if err := errors.Join(err, dev.Close()); err != nil {
		return nil, err
	}
	d := &device{
		fd: fd, answers: answers, threads: runtime.NumCPU() + 2,
		turn: make(chan struct{}, 1), awake: make(chan struct{}),
	}
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
	d.turn <- struct{}{}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // one thread seems to compute
	return d, nil
}

// serve answers requests until the last mount is gone.
func (d *device) serve() error {
	var all, watch sync.WaitGroup
	ended := make(chan struct{})
	watch.Go(func() { d.watch(ended) })
	for range d.threads {
		all.Go(func() {
			if err := d.loop(); err != nil {
				d.broken.CompareAndSwap(nil, &err)
			}
		})
	}
	all.Wait()
	close(ended)
	watch.Wait()
	if err := d.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// loop answers one request after the other while it has the turn, until there are none
// any more.
func (d *device) loop() error {
	in, out := make([]byte, maxMessage), make([]byte, maxMessage)
	for {
		<-d.turn
		for mine := true; mine; {
			n, err := d.read(in)
			if n == 0 || d.broken.Load() != nil {
				d.turn <- struct{}{}
				return err
			}
			if mine, err = d.answerInTurn(in[:n], out); err != nil {
				if mine {
					d.turn <- struct{}{}
				}
				return err
			}
		}
	}
}

// answerInTurn answers a request, and reports whether the turn is still the caller's.
func (d *device) answerInTurn(in, out []byte) (mine bool, err error) {
	state := d.state.Add(1)
	if d.idle.CompareAndSwap(true, false) {
		d.awake <- struct{}{}
	}
	err = d.answer(in, out)
	return d.state.CompareAndSwap(state, state+1), err
}

// watch gives the turn to another thread if the one that has it answers a request for long.
func (d *device) watch(ended <-chan struct{}) {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ended:
			return
		}
		state := d.state.Load()
		switch {
		case state != last:
			last = state
		case state%2 == 1:
			if d.state.CompareAndSwap(state, state+1) {
				d.turn <- struct{}{}
			}
		default:
			tick.Stop()
			d.idle.Store(true)
			if d.state.Load() != last && d.idle.CompareAndSwap(true, false) {
				tick.Reset(patience)
				continue
			}
			select {
			case <-d.awake:
			case <-ended:
				return
			}
			tick.Reset(patience)
		}
	}
}

// read waits for a request and reads it; 0 bytes and no error are the end.
func (d *device) read(in []byte) (int, error) {
	for {
		n, errno := rawRead(d.fd, in)
		switch errno {
		case 0:
			d.last = time.Now()
			return n, nil
		case unix.EAGAIN:
			if err := d.wait(); err != nil {
				return 0, err
			}
		case unix.EINTR, unix.ENOENT: // ENOENT: who asked has gone
		case unix.ENODEV: // unmounted
			return 0, nil
		default:
			return 0, os.NewSyscallError("read /dev/fuse", errno)
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
		return errors.Join(fmt.Errorf("request %d of %d bytes: %v", header.Opcode, len(in), code), d.refuse(header))
	}
	if n == 0 || d.write(out[:n]) == nil {
		return nil
	}
	return d.refuse(header)
}

// refuse answers a request that there is no other answer to. The kernel takes none with an
// errno of 512 or more, as some file systems have them, and who asked would wait for ever.
func (d *device) refuse(header *gofuse.InHeader) error {
	answer := gofuse.OutHeader{Status: -int32(unix.EIO), Unique: header.Unique}
	answer.Length = uint32(unsafe.Sizeof(answer))
	err := d.write(unsafe.Slice((*byte)(unsafe.Pointer(&answer)), answer.Length))
	return os.NewSyscallError("write /dev/fuse", err)
}

// write writes an answer.
func (d *device) write(answer []byte) error {
	for {
		_, err := unix.Write(d.fd, answer)
		switch err {
		case nil, unix.ENOENT: // ENOENT: nobody waits any more
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// patience is how long a thread that waits is taken for one that computes. The collector
// interrupts it (signal(7): poll is not restarted), again and again until it has. It is also
// how long an answer may take until another thread reads.
const patience = 5 * time.Millisecond

// wait waits for a request.
func (d *device) wait() error {
	polled := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	var err error
	if time.Since(d.last) < patience {
		limit := unix.NsecToTimespec(patience.Nanoseconds())
		_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&polled[0])), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
		if errno != 0 {
			err = errno
		}
	} else {
		_, err = unix.Poll(polled, -1) // as Go does it
	}
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	return nil
}
