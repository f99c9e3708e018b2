package hashdiff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Method captures by two snapshots. With Command.Root the command runs in a copy
// of it that is thrown away; without, on the live tree, which stays changed unless
// RollBack is set.
type Method struct {
	// Scope are absolute paths that are watched; none are the whole root. Of one that
	// is not there the first name that is missing is watched.
	Scope []string

	// RollBack keeps a copy of all files of the scope before the command is run,
	// and makes the live tree what it was before Run returns.
	RollBack bool
}

// Name returns the method's name.
func (*Method) Name() string { return "hashdiff" }

// Probe returns nil: there is nothing that the method needs but to read files.
func (*Method) Probe(context.Context) error { return nil }

// blind is what no snapshot shows.
var blind = []string{
	"a file that was changed and changed back, or made and removed, by the command",
	"who wrote a file: what others did to the tree meanwhile is in the list",
	"a file that was opened to be written, but was not",
	"what a daemon outside does when asked over the network",
}

// Run makes a snapshot, runs the command, and compares.
func (m *Method) Run(ctx context.Context, cmd capture.Command) (result *capture.Result, err error) {
	if err := m.check(&cmd); err != nil {
		return nil, err
	}
	s, err := newStaging(cmd.Staging)
	if err != nil {
		return nil, err
	}
	r := &run{method: m, cmd: cmd, staging: s}
	result, err = r.run(ctx)
	if err == nil {
		return result, nil
	}
	if r.started && cmd.Root == "" && !m.RollBack {
		err = fmt.Errorf("%w; the system stays as the command left it", err)
	}
	return nil, errors.Join(err, r.end())
}

// check refuses what the method has no means for.
func (m *Method) check(cmd *capture.Command) error {
	live := cmd.Root == "" || runtime.GOOS != "linux"
	switch {
	case cmd.Provenance:
		return &capture.Unavailable{Reason: errors.New("hashdiff compares, and can not tell which program wrote what")}
	case cmd.NoNetwork && live:
		return &capture.Unavailable{Reason: errors.New("hashdiff can not keep a command on the live system from the network")}
	case cmd.Isolate != capture.IsolateNamespaces && live:
		return &capture.Unavailable{Reason: fmt.Errorf("hashdiff can not run a command on the live system in a %s", cmd.Isolate)}
	case cmd.Root != "" && !canChroot():
		return &capture.Unavailable{
			Reason: errors.New("another root can only be entered by root"),
			Hint:   "without --root the command runs on the live system",
		}
	}
	return nil
}

// A run is one run of a command.
type run struct {
	method  *Method
	cmd     capture.Command
	staging *staging
	scope   Scope
	started bool
}

func (r *run) run(ctx context.Context) (*capture.Result, error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.cmd.Started != nil {
		r.cmd.Started()
	}
	exit, err := r.execute(ctx)
	var start *capture.StartError
	r.started = !errors.As(err, &start)
	if err != nil {
		return nil, err
	}
	if r.cmd.Ended != nil {
		r.cmd.Ended()
	}
	list, err := r.compare(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range exit.outlived {
		list.Notes = append(list.Notes, capture.Outlived(p.pid, p.command))
	}
	root, err := os.OpenRoot(r.scope.Root)
	if err != nil {
		return nil, err
	}
	result := &capture.Result{
		List:     list,
		Tree:     plist.DirTree{Root: root},
		ExitCode: exit.code,
		Blind:    slices.Concat(blind, blindHere, exit.blind),
		Closer:   closer(func() error { return errors.Join(root.Close(), r.end()) }),
	}
	if !r.rollsBack() {
		return result, nil
	}
	if result.Tree, err = r.takeAway(ctx, root, list); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return result, r.staging.rollBack(ctx)
}

// takeAway keeps what the command wrote, so that the tree can be rolled back.
func (r *run) takeAway(ctx context.Context, root *os.Root, list *plist.List) (plist.Tree, error) {
	k := keep{r.staging.file(nameKeep)}
	return &keptTree{keep: k, list: list}, k.fill(ctx, root, &written{entries: list.Entries})
}

func (r *run) execute(ctx context.Context) (*exit, error) {
	if r.cmd.Root == "" {
		return execute(ctx, r.cmd, "")
	}
	return executeIn(ctx, r.cmd, r.room())
}

type closer func() error

func (c closer) Close() error { return c() }

// room is the root that the command runs in; "" is the live one.
func (r *run) room() string {
	if r.cmd.Root == "" {
		return ""
	}
	return r.staging.file(nameRoom)
}

// prepare makes the room, takes the first snapshot, and keeps what is needed to
// roll the tree back.
func (r *run) prepare(ctx context.Context) error {
	if r.cmd.Root != "" {
		if err := r.makeRoom(ctx); err != nil {
			return fmt.Errorf("copy %s: %w", r.cmd.Root, err)
		}
	}
	if err := r.chooseScope(); err != nil {
		return err
	}
	before := r.staging.file(nameBefore)
	if err := r.record(ctx, before, r.scope); err != nil {
		return err
	}
	if !r.rollsBack() {
		return nil
	}
	if err := os.Mkdir(r.staging.file(nameKeep), 0o700); err != nil {
		return err
	}
	if err := r.keep(ctx, before); err != nil {
		return err
	}
	return r.staging.arm()
}

func (r *run) rollsBack() bool { return r.method.RollBack && r.cmd.Root == "" }

// makeRoom copies the root.
func (r *run) makeRoom(ctx context.Context) error {
	source, err := filepath.EvalSymlinks(r.cmd.Root)
	if err != nil {
		return err
	}
	room := r.room()
	if err := os.Mkdir(room, 0o700); err != nil {
		return err
	}
	inode, err := r.staging.inode()
	if err != nil {
		return err
	}
	scan := Scan(ctx, Scope{Root: source, Paths: []string{"."}, Skip: []capture.Inode{inode}}, Options{})
	defer scan.Close() //nolint:errcheck // there is none
	if err := copyTree(source, room, scan); err != nil {
		return err
	}
	return makeMountPoints(room)
}

// chooseScope finds what is watched.
func (r *run) chooseScope() (err error) {
	root := r.room()
	if root == "" {
		root = SystemRoot(append(r.method.Scope, r.cmd.Dir)[0])
	}
	var paths []string
	for _, p := range r.method.Scope {
		entry, missing, err := resolve(root, p)
		if err != nil {
			return err
		}
		paths = append(paths, filepath.Join(root, host(cmp.Or(missing, entry))))
	}
	if r.scope, err = NewScope(root, paths...); err != nil {
		return err
	}
	if r.cmd.Root == "" {
		inode, err := r.staging.inode()
		r.scope.Skip = []capture.Inode{inode}
		return err
	}
	return nil
}

func (r *run) record(ctx context.Context, name string, scope Scope) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = Write(ctx, f, scope, Options{})
	return errors.Join(err, f.Close())
}

func (r *run) keep(ctx context.Context, before string) error {
	snapshot, err := Open(before)
	if err != nil {
		return err
	}
	defer snapshot.Close() //nolint:errcheck // only read
	root, err := os.OpenRoot(r.scope.Root)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only read
	return keep{r.staging.file(nameKeep)}.fill(ctx, root, snapshot)
}

// compare reads what the command did.
func (r *run) compare(ctx context.Context) (*plist.List, error) {
	before, err := Open(r.staging.file(nameBefore))
	if err != nil {
		return nil, err
	}
	defer before.Close() //nolint:errcheck // only read
	earlier, err := Open(r.staging.file(nameBefore))
	if err != nil {
		return nil, err
	}
	defer earlier.Close() //nolint:errcheck // only read
	after := Scan(ctx, r.scope, Options{Earlier: earlier, Progress: r.cmd.Progress})
	defer after.Close() //nolint:errcheck // there is none
	return Diff(before, after)
}

// end rolls back, if that is not done, and removes the staging directory, unless it
// is still needed to roll back.
func (r *run) end() error {
	if r.staging.isArmed() {
		// Not with the run's context: it may be what ended the run.
		if err := r.staging.rollBack(context.Background()); err != nil {
			return fmt.Errorf("%w; %s is kept to try again", err, r.staging.path)
		}
	}
	return r.staging.remove()
}
