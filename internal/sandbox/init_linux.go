package sandbox

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Init returns at once, unless this process is the copy of the program that
// [Run] started. Then it carries out the plan and does not return.
func Init() {
	switch n := len(os.Args); {
	case n > 4 && os.Args[0] == initName && os.Args[1] == waitWord:
		fmt.Fprintln(os.Stderr, "sandbox-install:", waitForUsers(os.Args))
		os.Exit(1)
	case n == 2 && os.Args[0] == initName:
		initContainer()
		os.Exit(runInit(os.Args[1], (*order).enter))
	case n == 3 && os.Args[1] == initName && strings.HasPrefix(os.Args[0], "/proc/self/fd/"):
		os.Exit(runInit(os.Args[2], (*order).run)) // pid 1 in a container
	}
}

// runInit is the life of the copy. What goes wrong is told over the socket; the
// exit status tells only those who have no supervisor to listen.
func runInit(first string, live func(*order) error) int {
	o, err := readOrder(first)
	if err == nil {
		err = live(o)
	}
	if err != nil {
		kind := reportFailed
		var exec *ExecError
		if errors.As(err, &exec) {
			kind, err = reportExecFailed, exec.Err
		}
		_ = o.tell(failure(kind, err)) // nobody else to tell
		return 1
	}
	return 0
}

// readOrder reads the plan from the descriptors that begin at first.
func readOrder(first string) (*order, error) {
	// One that would end this process here would leave what it has made.
	o := &order{signals: make(chan os.Signal, 16)}
	signal.Notify(o.signals, passedSignals...)
	var err error
	if o.first, err = strconv.Atoi(first); err != nil {
		return o, &StepError{"read the plan", err}
	}
	for fd := range fdMounts {
		unix.CloseOnExec(o.first + fd)
	}
	o.file = os.NewFile(uintptr(o.first+fdOrder), "plan")
	if err := gob.NewDecoder(o.file).Decode(o); err != nil {
		return o, &StepError{"read the plan", err}
	}
	return o, nil
}

// tell sends a report to the supervisor.
func (o *order) tell(r *report) error { return r.send(o.first+fdSocket, 0) }

// enter builds the root, moves into it and runs the command.
func (o *order) enter() error {
	if o.Plan.Bare {
		return o.enterBare()
	}
	if err := makePrivate(); err != nil {
		return err
	}
	if o.Plan.Container {
		return o.runContainer()
	}
	if o.Plan.Agent != "" {
		return o.enterWithAgent()
	}
	return o.live(o.Plan.Mounts, o.mountFDs())
}

// mountFDs are the descriptors of the mounts that were passed with the plan.
func (o *order) mountFDs() []int {
	var fds []int
	for _, m := range o.Plan.Mounts {
		for len(fds) <= m.File {
			fds = append(fds, o.first+fdMounts+len(fds))
		}
	}
	return fds
}

// live builds the root, moves into it and runs the command.
func (o *order) live(mounts []Mount, fds []int) error {
	root, err := o.buildRoot("/", mounts, fds)
	if err != nil {
		return err
	}
	if err := moveInto(root); err != nil {
		return err
	}
	if o.Plan.NoNetwork {
		if err := raiseLoopback(); err != nil {
			return &StepError{"raise the loopback interface", err}
		}
	}
	return o.run()
}

// run starts the command and is init to it.
func (o *order) run() error {
	if len(o.Plan.Args) == 0 {
		return o.tell(&report{Kind: reportEmpty})
	}
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		return &StepError{"open /proc", err}
	}
	defer proc.Close()
	go o.watchSupervisor()
	pid, err := o.startWeaker()
	if err != nil {
		return err
	}
	started, sent := &report{Kind: reportStarted}, pid
	if o.Plan.Bare { // its number is the same outside, and to send another's needs CAP_SYS_ADMIN
		started.PID, sent = pid, 0
	}
	if err := started.send(o.first+fdSocket, sent); err != nil {
		return err
	}
	in := &initProcess{order: o, proc: proc, command: pid, children: reapAll()}
	return in.attend()
}

// watchSupervisor ends pid 1, and so all the rest, with the supervisor: its end of
// the socket is closed. Where init is the supervisor's own child a signal says so
// too, if not for a supervisor that died before the signal was asked for. Whatever
// else is read asks for the end of all processes but pid 1.
func (o *order) watchSupervisor() {
	b := make([]byte, 1)
	for {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.Read(o.first+fdSocket, b)
			return err
		})
		if err == nil && n > 0 {
			_ = unix.Kill(-1, unix.SIGKILL) // ESRCH: none left
			continue
		}
		if o.Plan.Bare {
			stopFamily()
		}
		os.Exit(1)
	}
}

// An initProcess is pid 1 while the command runs and after.
type initProcess struct {
	*order
	proc     *os.Root // our own /proc, whatever the command mounts there
	command  int
	children <-chan child
}

// A child is a child's change of state.
type child struct {
	pid    int
	status unix.WaitStatus
}

// reapAll waits for every child, adopted ones too, until there are no more.
// Since orphans become children of pid 1, none is then left in the namespace.
func reapAll() <-chan child {
	c := make(chan child)
	go func() {
		defer close(c)
		for {
			var status unix.WaitStatus
			var pid int
			err := retry(func() (err error) {
				pid, err = unix.Wait4(-1, &status, unix.WUNTRACED, nil)
				return err
			})
			if err != nil { // ECHILD
				return
			}
			c <- child{pid, status}
		}
	}()
	return c
}

// attend follows the command to its end, then sees to what it left running.
func (in *initProcess) attend() error {
	for {
		select {
		case sig := <-in.signals:
			_ = unix.Kill(-in.command, sig.(syscall.Signal)) // it may just have ended
		case c := <-in.children:
			if c.pid != in.command {
				continue
			}
			if c.status.Stopped() {
				if err := in.tell(&report{Kind: reportStopped, Signal: c.status.StopSignal()}); err != nil {
					return err
				}
				continue
			}
			return in.finish(exitCode(c.status))
		}
	}
}

// exitCode is the number that a shell makes of a wait status.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// finish waits until nothing runs any more, with the means that takes.
func (in *initProcess) finish(code int) error {
	if err := in.tell(&report{Kind: reportExited, Code: code}); err != nil {
		return err
	}
	done := &report{Kind: reportEmpty, Code: code}
	if !in.empty(in.Plan.Grace) {
		done.Outlived = in.running()
		in.killAll(unix.SIGTERM)
		in.killAll(unix.SIGCONT)
		if !in.empty(in.Plan.Term) {
			in.killAll(unix.SIGKILL)
			if in.Plan.Bare {
				stopFamily() // what was forked meanwhile, too
			}
			for range in.children {
			}
		}
	}
	return in.tell(done)
}

// empty waits at most d for the last child to end.
func (in *initProcess) empty(d time.Duration) bool {
	deadline := time.After(d)
	for {
		select {
		case _, more := <-in.children:
			if !more {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

// running names what is to be stopped.
func (in *initProcess) running() []Process {
	if in.Plan.Bare {
		return family(in.proc)
	}
	return running(in.proc)
}

// killAll signals every process of the namespace but init.
func (in *initProcess) killAll(sig syscall.Signal) {
	if in.Plan.Bare {
		killFamily(in.proc, sig)
		return
	}
	_ = unix.Kill(-1, sig) // ESRCH: none left
}

// startWeaker starts the command with less than init may do.
func (o *order) startWeaker() (pid int, err error) {
	onDoomedThread(func() {
		if err = o.weaken(); err == nil {
			pid, err = o.start()
		}
	})
	return pid, err
}

// onDoomedThread calls f on a thread that ends with it, and with it what f gave up, and
// the filters that it was put under. The main thread would not end: Go puts it to sleep.
func onDoomedThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		onDoomedThread(f) // not here, since this one is taken
		runtime.UnlockOSThread()
	}()
	<-done
}

// weaken takes from this thread what the command is not to have.
//
// Preconditions: the goroutine is locked to its thread.
func (o *order) weaken() error {
	if o.Plan.Bare {
		if err := o.loadFilters(); err != nil {
			return err
		}
		if err := o.dropCapabilities(); err != nil {
			return &StepError{"drop capabilities", err}
		}
		return nil
	}
	if !o.Plan.HostSockets {
		if err := scopeSockets(); err != nil {
			return &StepError{"leave the host's abstract sockets", err}
		}
	}
	if o.agent != nil {
		if err := o.agent.Confine(); err != nil {
			return &StepError{"confine the command", err}
		}
	}
	if len(o.Plan.Filters) > 0 {
		if err := o.loadFilters(); err != nil {
			return err
		}
	}
	if err := o.dropCapabilities(); err != nil {
		return &StepError{"drop capabilities", err}
	}
	return nil
}

// start forks the command.
func (o *order) start() (pid int, err error) {
	p := &o.Plan
	if err := os.Chdir(p.Dir); err != nil {
		return 0, &StepError{EnterDir, err}
	}
	name, err := LookPath(p.Args[0], p.Env)
	if err != nil {
		return 0, &ExecError{p.Args[0], err}
	}
	attr := &syscall.ProcAttr{
		Env:   p.Env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: o.Foreground},
	}
	pid, err = syscall.ForkExec(name, p.Args, attr)
	if err == unix.ENOEXEC { // as execvp(3) does with a script that has no first line
		pid, err = syscall.ForkExec("/bin/sh", append([]string{"sh", name}, p.Args[1:]...), attr)
	}
	if err != nil {
		return 0, &ExecError{p.Args[0], err}
	}
	return pid, nil
}
