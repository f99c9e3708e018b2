package overlay

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Method captures under kernel overlayfs, as root or with CAP_SYS_ADMIN.
type Method struct{}

// Name returns the method's name.
func (Method) Name() string { return "overlay" }

// What the command left running may end by itself, then on SIGTERM, within these.
const (
	outliveGrace = 2 * time.Second
	termGrace    = 2 * time.Second
)

// blind is what no overlay shows.
var blind = []string{
	"what a daemon outside does when asked over the network, or over a socket without a path before Linux 6.12",
	"what is set in the kernel, and not in a file: such settings are refused",
	"that chattr took a flag other than i, a, A or S off an old file, or that what is made in an old directory inherits one",
}

// Run runs the command in the sandbox and harvests the layers.
func (Method) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	return run(ctx, cmd, flavour{})
}

func run(ctx context.Context, cmd capture.Command, f flavour) (*capture.Result, error) {
	root := cmd.Root
	if root == "" {
		root = "/"
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	if cmd.Isolate == capture.IsolateContainer {
		if err := sandbox.CheckContainer(); err != nil {
			return nil, err
		}
	}
	r, err := prepare(root, cmd.Staging, cmd.ShareRun, f)
	if err != nil {
		return nil, &capture.Unavailable{Reason: errors.Join(err, r.close()), Hint: here().hint(err)}
	}
	if text := r.staging.inMemory(); text != "" && cmd.Notice != nil {
		cmd.Notice(text)
	}
	var watch *watch
	if cmd.Provenance {
		if watch, err = newWatch(); err != nil {
			return nil, errors.Join(err, r.close())
		}
		defer watch.Close() //nolint:errcheck // nothing was written
	}
	exit, err := r.run(ctx, cmd, watch)
	if err = because(r.server, err); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if cmd.Ended != nil {
		cmd.Ended()
	}
	if err := r.settle(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	list, tree, err := harvest(ctx, r.layers, cmd.Progress)
	if err = because(r.server, err); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if watch != nil {
		watch.Mark(list)
	}
	list.Notes = slices.Concat(r.notes, outlived(exit), list.Notes, r.otherNames(list))
	return &capture.Result{
		List:     list,
		Tree:     tree,
		ExitCode: exit.Code,
		Hint:     r.staging.full(),
		Blind:    blind,
		Closer: closer(func() error {
			return errors.Join(tree.Close(), r.close())
		}),
	}, nil
}

type closer func() error

func (c closer) Close() error { return c() }

// run starts the command among the rig's mounts.
func (r *rig) run(ctx context.Context, cmd capture.Command, watch *watch) (*sandbox.Exit, error) {
	plan := sandbox.Plan{
		Mounts:      r.mounts,
		Args:        cmd.Args,
		Env:         cmd.Env,
		Dir:         cmd.Dir,
		HostSockets: cmd.ShareRun,
		NoNetwork:   cmd.NoNetwork,
		Container:   cmd.Isolate == capture.IsolateContainer,
		Grace:       outliveGrace,
		Term:        termGrace,
	}
	if r.server != nil {
		var stop context.CancelFunc
		ctx, stop = r.server.Within(ctx)
		defer stop()
	}
	if cmd.Started != nil {
		cmd.Started()
	}
	files := sandbox.Files{Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr, Mounts: r.files}
	if watch != nil {
		plan.Filters, files.Listener = [][]byte{watch.filter}, watch.serve
	}
	exit, err := sandbox.Run(ctx, plan, files)
	if watch != nil {
		err = errors.Join(err, watch.end())
	}
	var start *sandbox.ExecError
	if errors.As(err, &start) {
		return nil, &capture.StartError{Name: start.Name, Err: start.Err}
	}
	return exit, err
}

// otherNames says which entries have another name, that is not listed, since their
// directory is mounted at a second place.
func (r *rig) otherNames(list *plist.List) []plist.Note {
	var notes []plist.Note
	for _, p := range r.views {
		if slices.ContainsFunc(list.Entries, func(e plist.Entry) bool { return plist.Within(e.Path, p.twin) || plist.Within(e.Path, p.path) }) {
			notes = append(notes, plist.Note{
				Kind: plist.NoteLost,
				Text: fmt.Sprintf("%s is also mounted on %s: what was written there is listed by one of the names only", path.Join("/", p.twin), p.name()),
			})
		}
	}
	return notes
}

// outlived names what had to be stopped.
func outlived(exit *sandbox.Exit) []plist.Note {
	var notes []plist.Note
	for _, p := range exit.Outlived {
		notes = append(notes, capture.Outlived(p.PID, p.Command))
	}
	return notes
}
