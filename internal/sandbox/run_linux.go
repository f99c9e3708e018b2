package sandbox

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initName is argv[0] of the copy; argv[1] is the number of the first descriptor
// that is meant for it and not for the command.
const initName = "sandbox-install: init"

// waitWord is argv[1] of a copy that is to wait for its ids.
const waitWord = "wait"

// The descriptors of the copy, from that number on. Those of the mounts follow.
const (
	fdOrder = iota
	fdSocket
	fdExe
	fdAgent
	fdMounts
)

// cancelGrace is how long the command may take to end after the SIGTERM of a
// cancelled context.
const cancelGrace = 2 * time.Second

// An order is what the copy reads from fdOrder.
type order struct {
	Plan       Plan
	Foreground bool // the command starts as the terminal's foreground job

	// In the copy:
	first   int            // the number of its first descriptor
	file    *os.File       // what this was read from
	agent   Agent          // what makes its mounts, or nil
	signals chan os.Signal // for the command, also what came before it was started
}

// passedSignals are the signals that are meant for the command when the supervisor
// gets them. SIGTSTP stops the command first; the supervisor follows it.
var passedSignals = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT,
	unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT,
}

// Run carries out p to the end of every process in it. A command that ran is an
// Exit, whatever its status; one that could not be started is an *ExecError; a
// root that could not be built is a *StepError. When ctx is cancelled the command
// gets SIGTERM, then everything SIGKILL, and Run returns ctx.Err().
//
// Run must not be called from a goroutine that changed its thread's namespaces.
func Run(ctx context.Context, p Plan, files Files) (*Exit, error) {
	// The death of the thread that started init is taken for the death of the
	// supervisor (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 16)
	for _, sig := range passedSignals {
		if !signal.Ignored(sig) { // nohup(1)
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)

	s := &supervisor{plan: &p, listener: files.Listener, tty: findTerminal(files.Stdin)}
	defer s.tty.close()
	s.foreground = !p.Container && s.tty.isOurs() && isTerminal(files.Stdin) && isTerminal(files.Stdout)
	if err := s.start(files); err != nil {
		return nil, err
	}
	s.reports = listen(s.socket)
	exit, err := s.supervise(ctx, signals)
	if err == nil && p.Agent != "" {
		exit.wait = s.end
		return exit, nil
	}
	if p.Agent != "" {
		// The agent serves nobody any more, and cleans up.
		err = errors.Join(err, hangUp(files.Agent))
	}
	return exit, errors.Join(err, s.end())
}

// hangUp lets an agent's socket read its end.
func hangUp(socket *os.File) error {
	err := unix.Shutdown(int(socket.Fd()), unix.SHUT_RDWR)
	if err == unix.ENOTCONN {
		return nil
	}
	return err
}

// end waits for init. It is gone or about to go: it closed its socket, or what it
// serves has hung up. To wait for it is to wait for the last process of its pid
// namespace.
func (s *supervisor) end() error {
	err := s.reap()
	// Its last words, that it could not clean up; and the end of who listens.
	for m := range s.reports {
		if m.err == nil && m.Kind == reportFailed {
			err = errors.Join(err, m.report.err(s.plan))
		}
	}
	unix.Close(s.socket)
	return err
}

// A supervisor is the caller's side of one run.
type supervisor struct {
	plan    *Plan
	init    *os.Process
	socket  int // our end
	reports <-chan message
	tty     *terminal // nil without one

	listener func(*os.File)

	foreground bool // the command starts with the terminal
	command    int  // its process group, as our pid namespace numbers it
	cancelled  bool
	exit       *Exit // once the command has ended
}

// start starts the copy and keeps our end of its socket.
func (s *supervisor) start(files Files) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "init's socket")
	defer theirs.Close()
	s.socket = pair[0]
	err = unix.SetsockoptInt(s.socket, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = s.startWith(files, theirs)
	}
	if err == nil && s.plan.Users.needHelper() {
		err = s.mapUsers()
	}
	if err != nil {
		unix.Close(s.socket)
	}
	return err
}

// mapUsers gives init its ids, and lets it go on.
func (s *supervisor) mapUsers() error {
	err := s.plan.Users.write(s.init.Pid)
	if err == nil {
		_, err = unix.Write(s.socket, []byte{1})
	}
	if err != nil {
		return errors.Join(err, s.init.Kill(), s.reap())
	}
	return nil
}

func (s *supervisor) startWith(files Files, socket *os.File) error {
	o := order{Plan: *s.plan, Foreground: s.foreground}
	orderFile, err := o.write()
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	defer orderFile.Close()
	exe, err := s.plan.exe()
	if err != nil {
		return fmt.Errorf("clone the mount of this program: %w", err)
	}
	defer exe.Close()
	null, err := files.fill()
	if err != nil {
		return err
	}
	defer null.Close()
	fds, err := files.passed()
	if err != nil {
		return fmt.Errorf("list the descriptors to be passed on: %w", err)
	}
	first := len(fds)
	agent := closed
	if files.Agent != nil {
		agent = files.Agent.Fd()
	}
	fds = append(fds, orderFile.Fd(), socket.Fd(), exe.Fd(), agent)
	for _, m := range files.Mounts {
		fds = append(fds, m.Fd())
	}
	program := fmt.Sprintf("/proc/self/fd/%d", first+fdExe)
	args := []string{initName, strconv.Itoa(first)}
	if s.plan.Users.needHelper() {
		args = append(waiting(first+fdSocket, program), args...)
	}
	pid, _, err := syscall.StartProcess(program, args, &syscall.ProcAttr{
		Env:   raceOptions(),
		Files: fds,
		Sys:   s.plan.attributes(),
	})
	if err != nil {
		return fmt.Errorf("start init in new namespaces: %w", err)
	}
	s.init, err = os.FindProcess(pid)
	return err
}

// raceOptions is all that init takes from our environment: without it a program
// built with the race detector sleeps a second when it ends.
func raceOptions() []string {
	if o, ok := os.LookupEnv("GORACE"); ok {
		return []string{"GORACE=" + o}
	}
	return []string{}
}

// attributes says in which namespaces init begins. In a container the pid
// namespace and the rest are libcontainer's to make.
func (p *Plan) attributes() *syscall.SysProcAttr {
	if p.Container { // if we are killed, the copy lives to remove the cgroup
		return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	if p.Bare { // when we are killed the copy lives to stop the command
		return &syscall.SysProcAttr{Setpgid: true}
	}
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if p.NoNetwork {
		flags |= unix.CLONE_NEWNET
	}
	// In a group of its own, init is not stopped and continued with us by a shell:
	// the command must not be continued before it has the terminal.
	attr := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL, Setpgid: true}
	p.Users.enter(attr)
	return attr
}

// write puts o into a file of its own, to be read from the start.
func (o *order) write() (*os.File, error) {
	fd, err := unix.MemfdCreate("plan", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "plan")
	if err := gob.NewEncoder(f).Encode(o); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// exe opens this program to be executed.
func (p *Plan) exe() (*os.File, error) {
	if p.Bare || p.Users != nil {
		return os.Open("/proc/self/exe")
	}
	return readOnlyExe()
}

// readOnlyExe opens this program on a read-only mount of its own. Inside,
// /proc/1/exe leads to it, and so to a host file that is on no overlay.
func readOnlyExe() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOATIME, Attr_clr: unix.MOUNT_ATTR__ATIME, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "init"), nil
}

// A message is a report or the error that ended them.
type message struct {
	*report
	err error
}

// listen receives reports until there are no more.
func listen(socket int) <-chan message {
	c := make(chan message)
	go func() {
		defer close(c)
		for {
			r, err := receive(socket)
			c <- message{r, err}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// supervise follows init until it is gone.
func (s *supervisor) supervise(ctx context.Context, signals <-chan os.Signal) (*Exit, error) {
	cancelled := ctx.Done()
	var kill <-chan time.Time
	var failed error
	for {
		select {
		case m := <-s.reports:
			if m.err != nil {
				return s.verdict(ctx, failed, m.err)
			}
			if err := s.handle(m.report); err != nil {
				failed = err
			}
			if s.plan.Agent != "" && m.Kind == reportEmpty {
				return s.verdict(ctx, failed, io.EOF)
			}
		case sig := <-signals:
			if sig == unix.SIGCONT {
				s.resume()
			} else {
				s.signal(sig)
			}
		case <-cancelled:
			cancelled, s.cancelled = nil, true
			s.cancel()
			kill = time.After(cancelGrace)
		case <-kill:
			kill = nil
			s.kill()
		}
	}
}

// verdict is what a run comes to, when init's socket said end.
func (s *supervisor) verdict(ctx context.Context, failed, end error) (*Exit, error) {
	s.tty.take()
	switch {
	case s.cancelled:
		return nil, ctx.Err()
	case failed != nil:
		return nil, failed
	case end != io.EOF:
		return nil, fmt.Errorf("read from init: %w", end)
	case s.exit == nil:
		return nil, errors.New("the sandbox's init was killed")
	}
	return s.exit, nil
}

// handle acts on one report.
func (s *supervisor) handle(r *report) error {
	switch r.Kind {
	case reportFailed, reportExecFailed:
		return r.err(s.plan)
	case reportFiltered:
		s.listener(r.file)
	case reportStarted:
		s.command = r.pid
		if s.foreground {
			s.tty.given = true
		}
	case reportStopped:
		s.stopped(r.Signal)
	case reportExited:
		s.tty.take()
		if s.cancelled { // no grace for what is to be undone
			s.kill()
		}
		s.exit = &Exit{Code: r.Code}
	case reportEmpty:
		s.exit = &Exit{Code: r.Code, Outlived: r.Outlived}
	}
	return nil
}

// cancel asks the command to end, or stops what it left running.
func (s *supervisor) cancel() {
	if s.exit != nil {
		s.kill()
		return
	}
	s.signal(unix.SIGTERM)
	s.signal(unix.SIGCONT) // a stopped process does not see it otherwise
}

// kill ends everything in the sandbox at once.
func (s *supervisor) kill() {
	switch {
	case s.plan.Container, s.plan.Bare: // the copy takes it for our death
		_ = unix.Shutdown(s.socket, unix.SHUT_WR)
	case s.plan.Agent != "": // it still has to clean up
		_, _ = unix.Write(s.socket, []byte{1}) // it may just have ended
	default:
		s.signal(unix.SIGKILL)
	}
}

// signal passes sig to init, which passes it to the command. That init is gone
// already is no error.
func (s *supervisor) signal(sig os.Signal) {
	_ = s.init.Signal(sig)
}

// reap waits for init, which ends when every process of its namespace has.
func (s *supervisor) reap() error {
	if _, err := s.init.Wait(); err != nil {
		return fmt.Errorf("wait for init: %w", err)
	}
	return nil
}
