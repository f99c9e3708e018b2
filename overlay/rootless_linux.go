package overlay

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Rootless captures under one kernel overlay in a user namespace, of which the
// lower directory is a mirror of the root over FUSE, in which the files of real
// root are those of the namespace's.
//
// This process serves the mirror, outside. Inside an agent, which is init of the
// sandbox, makes the mounts, reads what became of them, by the ids of the
// namespace and with the power of its root, and hands the files out.
//
// [Fuse] does the same for who has no privilege, with a union over FUSE in the place of
// the overlay. It is served by a process of the sandbox's ids that is none of the
// sandbox's, in a namespace of its own.
type Rootless struct{}

// Name returns the method's name.
func (Rootless) Name() string { return "rootless" }

// Run runs the command in the sandbox and has the agent harvest the layers.
func (Rootless) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	return runRootless(ctx, cmd, flavour{userxattr: true})
}

// rootlessBlind is what a method without privilege does not show, or shows otherwise,
// beyond blind.
func (f flavour) rootlessBlind() []string {
	less := []string{
		"what is in files that the user may not read: the command can neither read nor change them",
		"a change of a device node that was there: it is refused",
		"extended attributes trusted.* and security.* other than capabilities: they are refused",
		"access control lists that name an id which the user has not: none is shown, inherited or set",
	}
	if !f.fuse {
		less = append(less,
			"which names of a file that was there before are one file: when one is changed, linked or moved, it parts from the others",
			"the rename of a directory that was there before: rename(2) fails with EXDEV, as across file systems, and so does a program that does not copy instead",
			"set-id bits of a file that was written after they were set: the kernel takes them, as at anybody's write but real root's")
	}
	return slices.Concat(blind, less)
}

func runRootless(ctx context.Context, cmd capture.Command, f flavour) (*capture.Result, error) {
	if cmd.Isolate == capture.IsolateContainer {
		return nil, errors.New("--isolate=container needs --method overlay, and root")
	}
	if cmd.Provenance { // the agent will need one
		w, err := newWatch()
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	root := cmd.Root
	if root == "" {
		root = "/"
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	c, exit, err := sandboxed(ctx, root, cmd, f)
	if err != nil {
		return nil, rootlessError(err)
	}
	if cmd.Ended != nil {
		cmd.Ended()
	}
	refused := c.refused() // the harvest looks for names of hard links where the command did not
	list, err := c.harvest(ctx, cmd.Progress)
	if err = because(c.server, err); err != nil {
		return nil, errors.Join(err, c.close())
	}
	list.Notes = slices.Concat(c.ids.notes(), outlived(exit), refused, list.Notes)
	return &capture.Result{
		List: list, Tree: c, ExitCode: exit.Code,
		Hint: c.hint, Blind: f.rootlessBlind(),
		Closer: closer(c.close),
	}, nil
}

// rootlessError turns what stopped a sandbox from being built into an Unavailable.
func rootlessError(err error) error {
	var start *sandbox.ExecError
	if errors.As(err, &start) {
		return &capture.StartError{Name: start.Name, Err: start.Err}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &capture.Unavailable{Reason: err, Hint: here().rootlessHint(err)}
}

// sandboxed runs a command, or none, to its end. The caller closes the client.
func sandboxed(ctx context.Context, root string, cmd capture.Command, f flavour) (*client, *sandbox.Exit, error) {
	ids, err := idsOf()
	if err != nil {
		return nil, nil, err
	}
	c, exit, err := ids.run(ctx, root, cmd, f)
	var helper *sandbox.UsersError
	if errors.As(err, &helper) { // as in many containers
		ids = ids.alone(helper)
		c, exit, err = ids.run(ctx, root, cmd, f)
	}
	return c, exit, err
}

func (ids *ids) run(ctx context.Context, root string, cmd capture.Command, f flavour) (*client, *sandbox.Exit, error) {
	c, agent, err := newClient(root, ids, f, cmd.Notice)
	if err != nil {
		return nil, nil, err
	}
	var order bytes.Buffer
	o := agentOrder{Fuse: f.fuse, Root: root, Staging: cmd.Staging, ShareRun: cmd.ShareRun, Terminal: terminalOf(cmd), Provenance: cmd.Provenance, UIDs: ids.UIDs, GIDs: ids.GIDs}
	if err := gob.NewEncoder(&order).Encode(o); err != nil {
		return nil, nil, errors.Join(err, agent.Close(), c.close())
	}
	plan := sandbox.Plan{
		Users: &ids.Users, Agent: agentName, AgentOrder: order.Bytes(),
		Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		HostSockets: cmd.ShareRun, NoNetwork: cmd.NoNetwork,
		Grace: outliveGrace, Term: termGrace,
	}
	files := sandbox.Files{Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, Agent: agent}
	if cmd.Started != nil {
		cmd.Started()
	}
	if c.server != nil {
		var stop context.CancelFunc
		ctx, stop = c.server.Within(ctx)
		defer stop()
	}
	exit, err := sandbox.Run(ctx, plan, files)
	if closeErr := agent.Close(); err == nil {
		err = closeErr
	}
	c.exit = exit
	if err = because(c.server, err); err != nil {
		return nil, nil, errors.Join(err, c.close())
	}
	return c, exit, nil
}

// A client is the agent's caller, and the tree of what it captured.
type client struct {
	ids    *ids
	root   string
	socket *os.File
	exit   *sandbox.Exit // whose init the agent is
	server *fuse.Server  // of the agent's unions; nil if they are the kernel's

	notice func(string) // of what the agent tells, or nil
	hint   string       // of a result

	served chan struct{} // closed when mirror and err are set
	mirror *fuse.Mirror
	err    error
}

// newClient returns a client, which waits for the agent's mirror, and the agent's
// end of its socket, in which there is the server of its unions.
func newClient(root string, ids *ids, f flavour, notice func(string)) (*client, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	c := &client{ids: ids, root: root, socket: os.NewFile(uintptr(pair[0]), "agent"), served: make(chan struct{}), notice: notice}
	agent := os.NewFile(uintptr(pair[1]), "agent's socket")
	if f.fuse {
		// One of its own: a child of init's would be waited for and killed with the command.
		if c.server, err = fuse.StartServer(ids.Start); err == nil {
			err = sendMessage(c.socket, &agentMessage{Kind: giveServer}, c.server.Socket())
		}
	}
	go c.serveMirror()
	if err != nil {
		return nil, nil, errors.Join(err, agent.Close(), c.close())
	}
	return c, agent, nil
}

// serveMirror waits for the descriptor of the agent's mount, and serves it.
func (c *client) serveMirror() {
	defer close(c.served)
	m, dev, err := receiveMessage(c.socket)
	if err != nil {
		c.err = err
		return
	}
	if m.Text != "" && c.notice != nil {
		c.notice(m.Text)
	}
	p := newPopulace(c.ids.UIDs, c.ids.GIDs)
	o := fuse.Options{Root: c.root, HasUID: p.hasUID, HasGID: p.hasGID, Stranger: p.stranger}
	if c.root != "/" {
		o.Grafts = map[string]string{"dev": "/dev", "proc": "/proc", "sys": "/sys"}
	}
	c.mirror, c.err = fuse.Serve(dev, o)
}

// harvest has the agent read what the run did.
func (c *client) harvest(ctx context.Context, progress func(done int)) (*plist.List, error) {
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(int(c.socket.Fd()), unix.SHUT_RDWR) })
	defer stop()
	if err := sendMessage(c.socket, &agentMessage{Kind: askHarvest}, nil); err != nil {
		return nil, c.broken(ctx, err)
	}
	for {
		m, f, err := receiveMessage(c.socket)
		if err != nil {
			return nil, c.broken(ctx, err)
		}
		switch {
		case m.Kind == tellProgress && progress != nil:
			progress(m.Done)
		case m.Kind == tellFailure:
			return nil, c.broken(ctx, &toldError{m.Text, m.Errno})
		case m.Kind == tellResult:
			c.hint = m.Text
			return c.read(f)
		}
	}
}

func (c *client) read(f *os.File) (*plist.List, error) {
	defer f.Close()
	list := &plist.List{}
	if err := gob.NewDecoder(f).Decode(list); err != nil {
		return nil, fmt.Errorf("read the agent's list: %w", err)
	}
	return list, nil
}

// A toldError is what the agent said of what the kernel answered it.
type toldError struct {
	text  string
	errno syscall.Errno
}

func (e *toldError) Error() string { return e.text }

func (e *toldError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// broken says why the agent did not answer.
func (c *client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.mirror != nil {
		select {
		case <-c.mirror.Ended():
			return fmt.Errorf("the connection of the FUSE mirror was cut, and with it the command's view of the system: %w", errors.Join(c.mirror.Err(), err))
		default:
		}
	}
	return fmt.Errorf("the sandbox's agent: %w", err)
}

// Open opens a regular file, by entry path.
func (c *client) Open(path string) (plist.File, error) {
	err := sendMessage(c.socket, &agentMessage{Kind: askOpen, Path: path}, nil)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	m, f, err := receiveMessage(c.socket)
	if err == nil && m.Errno != 0 {
		err = m.Errno
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// close hangs up, and waits until the agent has cleaned up.
func (c *client) close() error {
	err := unix.Shutdown(int(c.socket.Fd()), unix.SHUT_RDWR)
	<-c.served // who may still read from the socket
	err = errors.Join(err, c.socket.Close())
	if c.exit != nil {
		err = errors.Join(err, c.exit.Wait())
	}
	if c.server != nil { // whose mounts init has let go of
		err = errors.Join(err, c.server.Close())
	}
	return err
}

// refused says what the command could not read.
func (c *client) refused() []plist.Note {
	<-c.served
	if c.mirror == nil {
		return nil
	}
	var notes []plist.Note
	for _, path := range slices.SortedFunc(slices.Values(c.mirror.Refused()), plist.ComparePaths) {
		notes = append(notes, plist.Note{Kind: plist.NoteHole, Text: fmt.Sprintf("%q could not be read, since this user may not", path)})
	}
	return notes
}
