package trace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Method captures by seccomp user notification, without any privilege.
type Method struct {
	// NoRollBack leaves the live tree as the command made it.
	NoRollBack bool
}

// Name returns the method's name.
func (*Method) Name() string { return "seccomp" }

// What the command left running may end by itself, then on SIGTERM, within these.
const (
	outliveGrace = 2 * time.Second
	termGrace    = 2 * time.Second
)

// blind is what the kernel asks nobody about.
var blind = []string{
	"what a daemon outside does when asked over a socket, in directories where the command itself does nothing",
	"what is written through a descriptor that the command was given open",
	"a path that another thread changes in memory between our look and the kernel's",
}

// Run runs the command under the filter, compares, and puts everything back.
func (m *Method) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	if err := m.check(&cmd); err != nil {
		return nil, err
	}
	programs, err := filters()
	if err != nil {
		return nil, &capture.Unavailable{Reason: err}
	}
	staging := defaultStaging(cmd.Staging)
	if err := refuseUnfinished(staging); err != nil {
		return nil, err
	}
	j, err := newJournal(staging)
	if err != nil {
		return nil, err
	}
	r := &run{method: m, cmd: cmd, journal: j, programs: programs}
	result, err := r.run(ctx)
	if err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	return result, nil
}

// check refuses what the method has no means for.
func (m *Method) check(cmd *capture.Command) error {
	switch {
	case cmd.Root != "":
		return &capture.Unavailable{Reason: errors.New("seccomp captures on the live system, not in another root")}
	case cmd.NoNetwork:
		return &capture.Unavailable{Reason: errors.New("seccomp can not keep a command from the network")}
	case cmd.Isolate != capture.IsolateNamespaces:
		return &capture.Unavailable{Reason: fmt.Errorf("seccomp can not run a command in a %s", cmd.Isolate)}
	}
	return nil
}

// A run is one run of a command.
type run struct {
	method   *Method
	cmd      capture.Command
	journal  *journal
	programs [][]byte

	recorder *recorder
	server   *sandbox.Server
	started  bool
	began    time.Time
}

func (r *run) run(ctx context.Context) (*capture.Result, error) {
	var err error
	if r.recorder, err = newRecorder(r.journal); err != nil {
		return nil, err
	}
	defer r.recorder.paths.close()
	if r.cmd.Provenance {
		if r.recorder.programs, err = newPrograms(); err != nil {
			return nil, err
		}
		defer r.recorder.programs.Close() //nolint:errcheck // nothing was written
	}
	exit, err := r.execute(ctx)
	if err != nil {
		return nil, err
	}
	if r.cmd.Ended != nil {
		r.cmd.Ended()
	}
	u, err := newUndoer(r.recorder.past, r.journal)
	if err != nil {
		return nil, err
	}
	defer u.close()
	keepIn := r.journal
	if r.method.NoRollBack {
		keepIn = nil
	}
	k, err := newKeeper(u.root, keepIn)
	if err != nil {
		return nil, err
	}
	list, err := r.harvest(ctx, u, k)
	switch {
	case err != nil:
	case r.method.NoRollBack:
		err = r.journal.removeRooms()
	default:
		err = u.undo()
	}
	if err == nil {
		err = r.journal.disarm()
	}
	if err != nil {
		return nil, errors.Join(err, k.close())
	}
	if r.cmd.Provenance {
		r.recorder.programs.Mark(list)
	}
	list.Notes = append(r.notes(exit), list.Notes...)
	remove := closer(func() error { return errors.Join(k.close(), r.journal.remove()) })
	return &capture.Result{List: list, Tree: k, ExitCode: exit.Code, Blind: blind, Closer: remove}, nil
}

type closer func() error

func (c closer) Close() error { return c() }

// execute runs the command to its end, and the server to its own.
func (r *run) execute(ctx context.Context) (*sandbox.Exit, error) {
	plan := sandbox.Plan{
		Args: r.cmd.Args, Env: r.cmd.Env, Dir: r.cmd.Dir,
		Bare: true, Filters: r.programs, HostSockets: true,
		Grace: outliveGrace, Term: termGrace,
	}
	var serveErr error
	files := sandbox.Files{Stdin: r.cmd.Stdin, Stdout: r.cmd.Stdout, Stderr: r.cmd.Stderr}
	files.Listener = func(listener *os.File) { r.server, serveErr = sandbox.Serve(listener, r.recorder.decide) }
	r.recorder.noNewPrivileges = !sandbox.MayFilter()
	r.started, r.began = true, time.Now()
	if r.cmd.Started != nil {
		r.cmd.Started()
	}
	exit, err := sandbox.Run(ctx, plan, files)
	if r.server != nil {
		serveErr = r.server.Close()
	}
	var start *sandbox.ExecError
	if errors.As(err, &start) {
		err = &capture.StartError{Name: start.Name, Err: start.Err}
	}
	return exit, errors.Join(err, serveErr)
}

func (r *run) harvest(ctx context.Context, u *undoer, k *keeper) (*plist.List, error) {
	h := newHarvester(u, r.began)
	if err := h.harvest(ctx); err != nil {
		return nil, err
	}
	if err := h.contents(ctx, k, r.cmd.Progress); err != nil {
		return nil, err
	}
	list := &plist.List{Entries: h.finish(), Notes: append(h.notes, h.foreignNotes()...)}
	if err := list.Validate(); err != nil {
		return nil, fmt.Errorf("harvest: %w", err)
	}
	return list, nil
}

// notes tells of weaknesses of this run.
func (r *run) notes(exit *sandbox.Exit) []plist.Note {
	var notes []plist.Note
	for _, p := range exit.Outlived {
		notes = append(notes, capture.Outlived(p.PID, p.Command))
	}
	for _, what := range slices.Sorted(maps.Keys(r.recorder.refused)) {
		notes = append(notes, plist.Note{Kind: plist.NoteHole, Text: what + ": the command was refused to change it"})
	}
	for _, program := range slices.Sorted(maps.Keys(r.recorder.setID)) {
		notes = append(notes, plist.Note{Kind: plist.NoteHole, Text: fmt.Sprintf("%q did not get the ids that it is set to: no new privileges can be had here", program)})
	}
	return notes
}

// abandon puts back what a run did that has no result. What can not be put back
// keeps its journal.
func (r *run) abandon() error {
	if r.started && r.recorder != nil {
		if err := errors.Join(r.journal.forget(), rollBack(r.journal, r.recorder.past)); err != nil {
			return errors.Join(fmt.Errorf("%w; %s is kept to try again", err, r.journal.path), r.journal.close())
		}
	}
	return r.journal.remove()
}

func rollBack(j *journal, p *past) error {
	u, err := newUndoer(p, j)
	if err != nil {
		return err
	}
	defer u.close()
	return u.undo()
}

// refuseUnfinished reports a run that was killed and not yet rolled back.
func refuseUnfinished(dir string) error {
	found, err := capture.FindStaging(dir, journalPrefix)
	if err != nil {
		return err
	}
	for _, path := range found {
		j, err := lockJournal(path, unix.LOCK_SH) // others that look, too, are not to take it for alive
		switch {
		case errors.Is(err, errAlive), errors.Is(err, os.ErrNotExist): // or rolled back
			continue
		case err != nil:
			return err
		}
		if err := j.close(); err != nil {
			return err
		}
		return &capture.Unavailable{
			Reason: fmt.Errorf("%w: its journal is %s", ErrUnfinished, path),
			Hint:   "sandbox-install recover puts back what it changed",
		}
	}
	return nil
}

// ErrUnfinished says that an earlier run was killed and is not yet rolled back.
var ErrUnfinished = errors.New("an earlier run was killed")

// Recover rolls back the runs that were killed, by the journals that they left in a
// directory; "" is the default one. It returns the journals.
func Recover(_ context.Context, dir string) ([]string, error) {
	found, err := capture.FindStaging(defaultStaging(dir), journalPrefix)
	if err != nil {
		return nil, err
	}
	var done []string
	for _, path := range found {
		j, err := openJournal(path)
		if errors.Is(err, errAlive) {
			continue
		}
		if errors.Is(err, os.ErrNotExist) { // rolled back before it was killed
			if err := removeJournal(path); err != nil {
				return done, err
			}
			continue
		}
		if err != nil {
			return done, err
		}
		p, err := j.read()
		if err == nil {
			err = errors.Join(j.forget(), rollBack(j, p))
		}
		if err != nil {
			return done, errors.Join(fmt.Errorf("%s: %w", path, err), j.close())
		}
		if err := j.remove(); err != nil {
			return done, err
		}
		done = append(done, path)
	}
	return done, nil
}

// Probe really asks about a call, and answers.
func (m *Method) Probe(ctx context.Context) error {
	programs, err := filters()
	if err != nil {
		return &capture.Unavailable{Reason: err}
	}
	asked := false
	var s *sandbox.Server
	var serveErr error
	files := sandbox.Files{Listener: func(listener *os.File) {
		s, serveErr = sandbox.Serve(listener, func(*sandbox.Question) unix.Errno {
			asked = true
			return 0
		})
	}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	plan := sandbox.Plan{Args: []string{self}, Env: []string{probeVariable + "=1"}, Dir: "/", Bare: true, Filters: programs, HostSockets: true}
	_, err = sandbox.Run(ctx, plan, files)
	if s != nil {
		serveErr = s.Close()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && serveErr == nil && !asked:
		err = errors.New("the kernel did not ask")
	}
	if err := errors.Join(err, serveErr); err != nil {
		return &capture.Unavailable{Reason: err, Hint: hint(err)}
	}
	return nil
}

// probeVariable tells this program that it is only to ask.
const probeVariable = "SANDBOX_INSTALL_TRACE_PROBE"

func init() {
	if os.Getenv(probeVariable) != "" {
		os.Exit(0)
	}
}

func hint(err error) string {
	switch {
	case errors.Is(err, unix.EBUSY):
		return "another sandbox already asks about the calls of this process: leave it, or choose another method"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
		return "a filter around this process forbids seccomp(2)"
	case errors.Is(err, unix.EINVAL):
		return "the kernel is older than Linux 5.5"
	}
	return ""
}
