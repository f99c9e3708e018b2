package overlay

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/plist"
)

var all = flag.Bool("all", false, "perform every scene as every user, half an hour on a busy machine")

// aboutIDs are the scenes in which it matters who performs them.
var aboutIDs = []string{
	"plain", "deletions", "fifos and devices", "the device 0/0", "modes", "owners", "capabilities",
	"access control lists", "another user", "chroot", "tar(1)",
}

// TestRootlessSuite performs the scenes as an ordinary user with subordinate ids,
// as one without, and as root. What they are judged by, root does and sees.
func TestRootlessSuite(t *testing.T) {
	some := aboutIDs
	if *all {
		some = nil
	}
	t.Run("user", func(t *testing.T) { capturetest.Run(t, byUser{as: "user"}) })
	t.Run("alone", func(t *testing.T) { capturetest.RunSome(t, byUser{as: "alone"}, some) })
	t.Run("root", func(t *testing.T) { capturetest.RunSome(t, Rootless{}, some) })
}

// byUser is the method Rootless, used by an ordinary user in a process of its own.
type byUser struct {
	Rootless
	as string // "user", or "alone" without subordinate ids
}

// Name is the name in the scenes.
func (m byUser) Name() string {
	if m.as == "alone" {
		return "rootless, one id"
	}
	return "rootless"
}

// start starts this program as the user.
func (m byUser) start(ctx context.Context, help string, in io.Reader, stdout, stderr io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "../scripts/as-user", exe)
	cmd.Env = append(os.Environ(), "OVERLAY_TEST_HELP="+help)
	if m.as == "alone" {
		cmd.Env = append(cmd.Env, "AS_USER=alone")
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, stdout, stderr
	return cmd.Run()
}

func (m byUser) Probe(ctx context.Context) error {
	var out bytes.Buffer
	if err := m.start(ctx, "rootless probe", nil, &out, &out); err != nil {
		return errors.New(out.String())
	}
	return nil
}

func helpRootlessProbe([]string) int {
	if err := (Rootless{}).Probe(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// A userOrder is a command for the user's process, a userResult what became of it.
type userOrder struct {
	Args, Env           []string
	Dir, Root, Stage    string
	NoNetwork, ShareRun bool
}

type userResult struct {
	List    *plist.List
	Exit    int
	Blind   []string
	Content map[string][]byte
	Err     string
}

func (m byUser) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	enterable(cmd.Dir)
	if self, err := os.Executable(); err == nil && cmd.Args[0] == self {
		cmd.Args[0] = "/media/test"
	}
	var in, out bytes.Buffer
	o := userOrder{Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Root: cmd.Root, Stage: cmd.Staging, NoNetwork: cmd.NoNetwork, ShareRun: cmd.ShareRun}
	if err := gob.NewEncoder(&in).Encode(o); err != nil {
		return nil, err
	}
	var r userResult
	if err := m.start(ctx, "rootless run", &in, &out, os.Stderr); err != nil {
		return nil, err
	}
	if err := gob.NewDecoder(&out).Decode(&r); err != nil {
		return nil, err
	}
	if r.Err != "" {
		return nil, errors.New(r.Err)
	}
	return &capture.Result{List: r.List, Tree: memory(r.Content), ExitCode: r.Exit, Blind: r.Blind, Closer: io.NopCloser(nil)}, nil
}

// enterable lets users into the temporary directories that a test's is in.
func enterable(dir string) {
	for d := filepath.Dir(dir); len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if info, err := os.Stat(d); err == nil {
			_ = os.Chmod(d, info.Mode().Perm()|0o755)
		}
	}
}

// helpRootlessRun runs the command that it reads about, and writes what became of
// it.
func helpRootlessRun([]string) int {
	var o userOrder
	if err := gob.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	var r userResult
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	if err := r.run(ctx, o); err != nil {
		r = userResult{Err: err.Error()}
	}
	if err := gob.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	return 0
}

func (r *userResult) run(ctx context.Context, o userOrder) error {
	got, err := (Rootless{}).Run(ctx, capture.Command{
		Args: o.Args, Env: o.Env, Dir: o.Dir, Root: o.Root, Staging: o.Stage, NoNetwork: o.NoNetwork, ShareRun: o.ShareRun,
		Stdout: os.Stderr, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	r.List, r.Exit, r.Blind, r.Content = got.List, got.ExitCode, got.Blind, make(map[string][]byte)
	for i := range got.List.Entries {
		e := &got.List.Entries[i]
		if e.Op == plist.OpDelete || !e.Mode.IsRegular() {
			continue
		}
		f, err := got.Tree.Open(e.Path)
		if err != nil {
			return err
		}
		if r.Content[e.Path], err = io.ReadAll(f); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return got.Close()
}

// memory is a tree.
type memory map[string][]byte

func (m memory) Open(path string) (plist.File, error) {
	b, ok := m[path]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
