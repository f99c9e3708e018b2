//go:build linux && amd64

package redirect

import (
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Run runs the command in the merged view, and compares the staging tree with the root.
func (m *Method) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	if err := check(&cmd); err != nil {
		return nil, err
	}
	staging, above, err := newStaging(cmd.Staging)
	if err != nil {
		return nil, err
	}
	dir := staging.Name()
	remove := func() error {
		return errors.Join(above.Removing(dir, func() error { return os.RemoveAll(dir) }), staging.Close())
	}
	r := &run{cmd: cmd, dir: dir}
	result, err := r.run(ctx)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	closeTree := result.Closer
	result.Closer = closer(func() error { return errors.Join(closeTree.Close(), remove()) })
	return result, nil
}

type closer func() error

func (c closer) Close() error { return c() }

// check refuses what the method has no means for.
func check(cmd *capture.Command) error {
	switch {
	case cmd.Root != "":
		return &capture.Unavailable{Reason: errors.New("redirect captures on the live system, not in another root")}
	case cmd.NoNetwork:
		return &capture.Unavailable{Reason: errors.New("redirect can not keep a command from the network")}
	case cmd.Provenance:
		return &capture.Unavailable{Reason: errors.New("redirect does not record who wrote what")}
	case cmd.Isolate != capture.IsolateNamespaces:
		return &capture.Unavailable{Reason: fmt.Errorf("redirect can not run a command in a %s", cmd.Isolate)}
	}
	return nil
}

// stagingPrefix begins the name of every staging directory.
const stagingPrefix = "sandbox-install-redirect-"

// newStaging makes the staging directory where the user says, or else in the first of the
// usual places that has one; in none from which nothing can be executed, if there is another.
func newStaging(in string) (*os.File, capture.Above, error) {
	if in != "" {
		return stageIn(in)
	}
	places := []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"}
	slices.SortStableFunc(places, func(a, b string) int { return cmp.Compare(noExec(a), noExec(b)) })
	var refused []error
	for _, dir := range places {
		staging, above, err := stageIn(dir)
		if err == nil {
			return staging, above, nil
		}
		refused = append(refused, err)
	}
	return nil, capture.Above{}, &capture.Unavailable{Reason: refused[0], Hint: "name a directory that can be written with --staging"}
}

// noExec is 1 where no program can be executed.
func noExec(dir string) int {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil && st.Flags&unix.ST_NOEXEC != 0 {
		return 1
	}
	return 0
}

// stageIn makes the staging directory, and removes those of runs that were killed. Its
// path has no symlinks, as those have not that the kernel tells.
func stageIn(dir string) (*os.File, capture.Above, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err == nil {
		err = capture.SweepStaging(dir, stagingPrefix)
	}
	if err != nil {
		return nil, capture.Above{}, err
	}
	return capture.LockedStaging(dir, stagingPrefix)
}

// A run is one run of a command.
type run struct {
	cmd    capture.Command
	dir    string
	tracer *tracer
}

func (r *run) run(ctx context.Context) (*capture.Result, error) {
	exit, err := r.execute(ctx)
	if err != nil {
		return nil, err
	}
	if r.cmd.Ended != nil {
		r.cmd.Ended()
	}
	h := &harvester{view: r.tracer.view}
	if err := h.harvest(ctx); err != nil {
		return nil, err
	}
	if err := h.contents(ctx, r.cmd.Progress); err != nil {
		return nil, err
	}
	list := &plist.List{Entries: h.finish()}
	list.Notes = append(r.notes(exit), h.notes...)
	if err := list.Validate(); err != nil {
		return nil, fmt.Errorf("harvest: %w", err)
	}
	root, err := os.OpenRoot(r.tracer.tree)
	if err != nil {
		return nil, err
	}
	return &capture.Result{List: list, Tree: plist.DirTree{Root: root}, ExitCode: exit.Code, Blind: blind, Closer: root}, nil
}

// blind is what is not led to the staging tree, or not done as root would.
var blind = []string{
	"what is written to /proc, /dev and /sys, which is led nowhere else",
	"what a daemon outside does when asked over a socket",
	"what is written through a descriptor that the command was given open",
	"what set-user-id programs would do, which run as the user; other ids, chroot(2), mounts and namespaces are refused",
	"a path that another thread changes in memory between our look and the kernel's",
}

func (r *run) notes(exit *sandbox.Exit) []plist.Note {
	var notes []plist.Note
	for _, p := range exit.Outlived {
		notes = append(notes, capture.Outlived(p.PID, p.Command))
	}
	for _, name := range slices.Sorted(maps.Keys(r.tracer.refused)) {
		notes = append(notes, plist.Note{Kind: plist.NoteHole, Text: fmt.Sprintf("%q is closed to the user: the command was refused to change something there", name)})
	}
	if noExec(r.dir) != 0 {
		notes = append(notes, plist.Note{Kind: plist.NoteHole, Text: fmt.Sprintf("what the command made it could not execute: %s is mounted noexec; --staging names another place", filepath.Dir(r.dir))})
	}
	return notes
}

const (
	outliveGrace = 2 * time.Second
	termGrace    = 2 * time.Second
)

// execute runs the command to its end.
func (r *run) execute(ctx context.Context) (*sandbox.Exit, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := "@" + filepath.Base(r.dir) + fmt.Sprint(os.Getpid())
	listener, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	traced := make(chan error, 1)
	ready := make(chan error, 1)
	go func() { traced <- r.trace(listener.(*net.UnixListener), ready) }()
	if err := <-ready; err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if r.cmd.Started != nil {
		r.cmd.Started()
	}
	plan := sandbox.Plan{
		Args: []string{self}, Env: []string{launchVariable + "=" + address}, Dir: "/",
		Bare: true, HostSockets: true, Grace: outliveGrace, Term: termGrace,
	}
	files := sandbox.Files{Stdin: r.cmd.Stdin, Stdout: r.cmd.Stdout, Stderr: r.cmd.Stderr}
	exit, err := sandbox.Run(ctx, plan, files)
	_ = listener.Close() // if it was not for the launch, nobody comes any more
	traceErr := <-traced
	if err != nil {
		return nil, err
	}
	var start *sandbox.ExecError
	if errors.As(traceErr, &start) {
		return nil, &capture.StartError{Name: start.Name, Err: start.Err}
	}
	return exit, traceErr
}

// trace is the life of the tracer. Its thread ends with it, since it is not like
// others any more.
func (r *run) trace(listener *net.UnixListener, ready chan<- error) error {
	runtime.LockOSThread()
	// A umask of its own. Docker's filter of system calls refuses that, and then all
	// threads have this one: nobody else makes files meanwhile, and the command gets its
	// own back.
	if err := unix.Unshare(unix.CLONE_FS); err != nil && err != unix.EPERM {
		ready <- err
		return err
	}
	umask := unix.Umask(0)
	defer unix.Umask(umask)
	v, err := newView(r.dir)
	if err == nil {
		r.tracer = &tracer{view: v, threads: make(map[int]*thread), refused: make(map[string]bool)}
	}
	ready <- err
	if err != nil {
		return err
	}
	c, err := listener.AcceptUnix()
	if errors.Is(err, net.ErrClosed) {
		return nil // the sandbox tells why
	}
	if err != nil {
		return err
	}
	defer c.Close()
	pid, err := peer(c)
	if err == nil {
		err = r.tracer.seize(pid)
	}
	if err != nil {
		return fmt.Errorf("trace the command: %w", err)
	}
	if err := gob.NewEncoder(c).Encode(launch{r.cmd.Args, r.cmd.Env, r.cmd.Dir, umask}); err != nil {
		return err
	}
	if err := r.tracer.trace(); err != nil {
		return err
	}
	var f failure
	if err := gob.NewDecoder(c).Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // it was started
		}
		return err
	}
	return f.err(r.cmd.Args[0])
}

// peer is who is at the other end of a socket.
func peer(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, controlErr); err != nil {
		return 0, err
	}
	if int(cred.Uid) != os.Geteuid() {
		return 0, fmt.Errorf("user %d is at the other end", cred.Uid)
	}
	return int(cred.Pid), nil
}

// probeVariable tells this program that it is only to write there.
const probeVariable = "SANDBOX_INSTALL_REDIRECT_PROBE"

func init() {
	name := os.Getenv(probeVariable)
	if name == "" {
		return
	}
	if err := os.WriteFile(name, []byte(name), 0o444); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-install: probe:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Probe really has a file written to the root directory, which must not get it.
func (m *Method) Probe(ctx context.Context) error {
	const name = "/sandbox-install-probe"
	self, err := os.Executable()
	if err != nil {
		return err
	}
	result, err := m.Run(ctx, capture.Command{Args: []string{self}, Env: []string{probeVariable + "=" + name}, Dir: "/"})
	if err != nil {
		return unavailable(ctx, err)
	}
	entries, code := result.List.Entries, result.ExitCode
	err = result.Close()
	switch {
	case err != nil:
	case code != 0:
		err = fmt.Errorf("a program that only writes a file ended with status %d", code)
	case len(entries) != 1 || "/"+entries[0].Path != name:
		err = fmt.Errorf("a program that only writes a file has written %d", len(entries))
	}
	if err != nil {
		return unavailable(ctx, err)
	}
	return nil
}

func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u := &capture.Unavailable{Reason: err}
	switch {
	case errors.As(err, new(*capture.Unavailable)):
		return err
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		u.Hint = "ptrace(2) or seccomp(2) is forbidden here: see kernel.yama.ptrace_scope, and what this container may do"
	}
	return u
}
