package hashdiff

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
)

// An exit tells how a command ended.
type exit struct {
	code     int
	outlived []process // what still ran and had to be stopped
	blind    []string  // what the run can not show for want of something
}

type process struct {
	pid     int
	command string
}

// What the command left running may end by itself, then on SIGTERM, within these;
// and a command that is cancelled, on SIGTERM.
const (
	outliveGrace = 2 * time.Second
	termGrace    = 2 * time.Second
)

// execute runs the command to the end of all its processes.
func execute(ctx context.Context, cmd capture.Command, root string) (*exit, error) {
	// The death of the thread that started the command is taken for our own
	// (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	family, err := adopt()
	if err != nil {
		return nil, err
	}
	proc, err := start(&cmd, root)
	if err != nil {
		return nil, &capture.StartError{Name: cmd.Args[0], Err: err}
	}
	ended := make(chan struct{})
	go passSignals(ctx, proc, ended)
	state, err := proc.Wait()
	close(ended)
	if err != nil {
		return nil, err
	}
	outlived, err := family.stop()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	return &exit{code: exitCode(state), outlived: outlived}, nil
}

// start starts the program that the command's PATH leads to, as execvp(3) does:
// what is tried is what the kernel finds inside the root.
func start(cmd *capture.Command, root string) (*os.Process, error) {
	if st, err := os.Stat(filepath.Join(root, cmd.Dir)); err != nil {
		return nil, err
	} else if !st.IsDir() {
		return nil, &os.PathError{Op: "chdir", Path: cmd.Dir, Err: syscall.ENOTDIR}
	}
	attr := &os.ProcAttr{
		Dir: cmd.Dir, Env: cmd.Env,
		Files: []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr},
		Sys:   attributes(root),
	}
	found := error(fs.ErrNotExist)
	for _, name := range candidates(cmd.Args[0], cmd.Env) {
		proc, err := os.StartProcess(name, cmd.Args, attr)
		if err == nil {
			return proc, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			found = err
		}
	}
	return nil, found
}

// passSignals gives the command the signals that are meant for it, and ends it
// when the context does.
func passSignals(ctx context.Context, proc *os.Process, ended <-chan struct{}) {
	signals := make(chan os.Signal, 16)
	for _, sig := range passed {
		if !signal.Ignored(sig) { // nohup(1)
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	cancelled := ctx.Done()
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			_ = proc.Signal(sig) // it may just have ended
		case <-cancelled:
			cancelled = nil
			_ = proc.Signal(gentle)
			kill = time.After(termGrace)
		case <-kill:
			_ = proc.Kill()
		}
	}
}
