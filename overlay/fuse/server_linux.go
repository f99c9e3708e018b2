package fuse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// serverName is argv[0] of the process that serves unions: who uses a mount must not
// be who serves it.
const serverName = "sandbox-install: union"

// Every program with this package may be started to be the server.
func init() {
	if os.Args[0] == serverName {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox-install: union:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// A Server is a process that serves unions. It ends when nobody is left who could ask
// it, or its starter closes it.
type Server struct {
	socket *os.File
	cmd    *exec.Cmd     // nil if another process started it
	ended  chan struct{} // closed once err is set
	err    error
}

// ReachServer returns a server that another process has started, by its [Server.Socket].
func ReachServer(socket *os.File) *Server { return &Server{socket: socket} }

// StartServer has a server started, which serves nothing yet.
func StartServer(start func(*exec.Cmd) error) (*Server, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "server's socket")
	defer theirs.Close()
	s := &Server{socket: os.NewFile(uintptr(pair[0]), "server"), ended: make(chan struct{})}
	s.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{serverName}, Env: []string{}, Dir: "/", Stderr: os.Stderr,
		ExtraFiles: []*os.File{theirs},
		// A terminal's signals are for the command.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := start(s.cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server of the union: %w", err), s.socket.Close())
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// Socket is how other processes reach the server.
func (s *Server) Socket() *os.File { return s.socket }

// Add has the server serve one more union, whose descriptors stay the caller's.
func (s *Server) Add(dev *os.File, opt UnionOptions) error {
	rights := []int{int(dev.Fd()), int(opt.Upper.Fd()), int(opt.Work.Fd())}
	for _, f := range opt.Lowers {
		rights = append(rights, int(f.Fd()))
	}
	err := unix.Sendmsg(int(s.socket.Fd()), []byte(opt.Private), unix.UnixRights(rights...), nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return s.broken(err)
	}
	answer := make([]byte, 4096)
	n, err := s.socket.Read(answer)
	if err != nil || n == 0 {
		return s.broken(err)
	}
	if n > 1 {
		return errors.New(string(answer[1:n]))
	}
	return nil
}

// Err returns why the server has ended; nil if it has not, or another process started
// it. Who has seen a union fail because of its end is told of that: a process that ends
// closes its lowest descriptors first, and so the socket before any union's.
func (s *Server) Err() error {
	poll := []unix.PollFd{{Fd: int32(s.socket.Fd()), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(poll, 0)
	}
	if s.cmd == nil || err == nil && poll[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) == 0 {
		return nil
	}
	<-s.ended
	return s.broken(err)
}

// Within returns a context that ends with the server, too.
func (s *Server) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (s *Server) broken(err error) error {
	select {
	case <-s.ended:
		return fmt.Errorf("the server of the union has ended, and with it the command's view of the system: %w", errors.Join(s.err, err))
	default:
		return fmt.Errorf("ask the server of the union: %w", err)
	}
}

// Close ends the server if this process started it, and waits for it. What is still
// mounted then is dead.
func (s *Server) Close() error {
	if s.cmd == nil {
		return s.socket.Close()
	}
	err := s.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.ended
	return errors.Join(err, s.socket.Close())
}

// maxLayers bounds the descriptors of a union.
const maxLayers = 200

// serve is the server.
func serve() error {
	unix.Umask(0)
	// The paths of what has only a descriptor begin here, wherever the root is.
	if err := os.Chdir("/proc/self/fd"); err != nil {
		return err
	}
	socket := os.NewFile(3, "starter")
	unix.CloseOnExec(3)
	var unions sync.WaitGroup
	for {
		files, private, err := receive(socket)
		if err == io.EOF { // the starter has ended: nobody waits for what is left
			return nil
		}
		if err != nil {
			return err
		}
		opt := UnionOptions{Upper: files[1], Work: files[2], Lowers: files[3:], Private: private}
		u, err := newUnion(files[0], opt)
		answer := []byte{0}
		if err != nil {
			answer = append(answer, err.Error()...)
		}
		if _, err := socket.Write(answer); err != nil {
			return err
		}
		if u != nil {
			unions.Go(func() {
				if err := u.serve(); err != nil {
					fmt.Fprintln(os.Stderr, "sandbox-install: union:", err)
					os.Exit(1)
				}
			})
		}
	}
}

// receive waits for the descriptors of a union.
func receive(socket *os.File) (files []*os.File, private string, err error) {
	b, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4*maxLayers))
	n, rn, _, _, err := unix.Recvmsg(int(socket.Fd()), b, rights, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, rn, _, _, err = unix.Recvmsg(int(socket.Fd()), b, rights, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return nil, "", err
	}
	if n == 0 {
		return nil, "", io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil {
		return nil, "", err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return nil, "", err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "layer "+strconv.Itoa(fd)))
		}
	}
	if len(files) < 4 {
		return nil, "", fmt.Errorf("%d descriptors are no union", len(files))
	}
	return files, string(b[:n]), nil
}
