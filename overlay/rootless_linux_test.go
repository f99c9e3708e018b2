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
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

var all = flag.Bool("all", false, "perform every scene as every user, half an hour on a busy machine")

// aboutIDs are the scenes in which it matters who performs them.
var aboutIDs = []string{
	"plain", "deletions", "fifos and devices", "the device 0/0", "modes", "owners", "capabilities",
	"access control lists", "another user", "chroot", "a terminal", "tar(1)",
}

// aboutNames are the scenes that a union over FUSE gets right in a user namespace, too,
// and an overlay of the kernel does not.
var aboutNames = []string{
	"directories exchanged", "a directory renamed", "a directory there and back", "one of three names renamed and written",
	"metadata through one name", "links, a rename and metadata", "replaced below a renamed directory", "moved aside and partly back",
	"a deep tree", "a mapping made before the first write", "copied by the kernel",
	"a rename of another name of what was changed", "privileges of what is written through memory",
}

// TestRootlessSuite performs the scenes as an ordinary user with subordinate ids,
// as one without, and as root. What they are judged by, root does and sees.
func TestRootlessSuite(t *testing.T) {
	some, aboutUnions := aboutIDs, slices.Concat(aboutIDs, aboutNames)
	if *all {
		some, aboutUnions = nil, nil
	}
	t.Run("user", func(t *testing.T) { capturetest.Run(t, byUser{Rootless{}, "user"}) })
	t.Run("alone", func(t *testing.T) { capturetest.RunSome(t, byUser{Rootless{}, "alone"}, some) })
	t.Run("root", func(t *testing.T) { capturetest.RunSome(t, Rootless{}, some) })
	t.Run("fuse", func(t *testing.T) { capturetest.RunSome(t, byUser{Fuse{}, "user"}, aboutUnions) })
	t.Run("fuse alone", func(t *testing.T) { capturetest.RunSome(t, byUser{Fuse{}, "alone"}, some) })
}

// byUser is a method that is used by an ordinary user in a process of its own.
type byUser struct {
	capture.Method
	as string // "user", or "alone" without subordinate ids
}

// Name is the name in the scenes.
func (m byUser) Name() string {
	name := m.Method.Name()
	if name == "fuse" {
		name += ", user"
	}
	if m.as == "alone" {
		name += ", one id"
	}
	return name
}

// methodsByName are those that a user's process is asked for.
var methodsByName = map[string]capture.Method{"rootless": Rootless{}, "fuse": Fuse{}}

// start starts this program as the user.
func (m byUser) start(ctx context.Context, help string, in io.Reader, stdout, stderr io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "../scripts/as-user", exe, m.Method.Name())
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
	if err := m.start(ctx, "user probe", nil, &out, &out); err != nil {
		return errors.New(out.String())
	}
	return nil
}

// helpUserProbe probes the method of that name.
func helpUserProbe(args []string) int {
	if err := methodsByName[args[0]].Probe(context.Background()); err != nil {
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
	if err := m.start(ctx, "user run", &in, &out, os.Stderr); err != nil {
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

// helpUserRun runs the command that it reads about by the method of that name, and
// writes what became of it.
func helpUserRun(args []string) int {
	var o userOrder
	if err := gob.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	var r userResult
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	if err := r.run(ctx, methodsByName[args[0]], o); err != nil {
		r = userResult{Err: err.Error()}
	}
	if err := gob.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	return 0
}

func (r *userResult) run(ctx context.Context, m capture.Method, o userOrder) error {
	got, err := m.Run(ctx, capture.Command{
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
		if _, err := f.(*os.File).Stat(); err != nil { // as who looks for holes
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return got.Close()
}

// What the user may not read can neither be read inside, and that is told; what takes its
// place is captured.
func TestUserClosed(t *testing.T) {
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) {
			s := newScene(t, script(`
				! cat secret || exit 9
				echo 2 >new; mv new replaced; mv dir moved || mv dir/* .`)...)
			s.cmd.Staging, s.method = "", byUser{m, "user"}
			shell(t, s.dir, "mkdir -p dir/closed; echo 1 >dir/closed/x; echo 1 >secret; echo 1 >replaced; cp secret dir; chmod -R go= secret replaced dir/*")
			r := s.run()
			list := changes(r.List, s.dir)
			if r.ExitCode == 9 || !slices.Contains(list, "M replaced") {
				t.Errorf("status %d, changes %q", r.ExitCode, list)
			}
			for _, name := range []string{"secret", "dir/closed"} {
				if !slices.ContainsFunc(r.List.Notes, func(n plist.Note) bool {
					return n.Kind == plist.NoteHole && strings.Contains(n.Text, strconv.Quote(s.dir+"/"+name))
				}) {
					t.Errorf("no word of %s: %v", name, r.List.Notes)
				}
			}
		})
	}
}

// The names of a file that was there part without an index, and it is told of which; but not
// of names that were replaced together, nor by a union that keeps them together.
func TestUserNamesPart(t *testing.T) {
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) {
			s := newScene(t, script("echo 2 >>written; chmod go+x mode; ln linked new; echo 3 >t; mv t both; ln -f both both2; rm gone; echo 2 >>alone")...)
			s.cmd.Staging, s.method = "", byUser{m, "user"}
			shell(t, s.dir, "for f in written mode linked both gone; do echo 1 >$f; ln $f ${f}2; done; echo 1 >alone")
			var told []string
			for _, n := range s.run().List.Notes {
				if name, _, found := strings.Cut(n.Text, "\" had other names"); found && n.Kind == plist.NoteLost {
					told = append(told, strings.TrimPrefix(name, "\""+s.dir+"/"))
				}
			}
			parted := []string{"linked", "mode", "written"}
			if m.Name() == "fuse" {
				parted = nil
			}
			slices.Sort(told)
			want(t, "names that parted", told, parted)
		})
	}
}

// The kernel takes set-id bits from what is written in a user namespace, and it is told of
// what; but not of bits that chmod(1) took.
func TestUserSetID(t *testing.T) {
	s := newScene(t, script("echo 2 >>written; chmod u-s mode; cp mode new; echo 2 >>plain")...)
	s.cmd.Staging, s.method = "", byUser{Rootless{}, "user"}
	shell(t, s.dir, "for f in written mode plain; do echo 1 >$f; done; chmod 6755 written; chmod 4755 mode")
	var told []string
	for _, n := range s.run().List.Notes {
		if name, _, found := strings.Cut(n.Text, "\" has no set-id bits"); found && n.Kind == plist.NoteLost {
			told = append(told, strings.TrimPrefix(name, "\""+s.dir+"/"))
		}
	}
	want(t, "what lost bits", told, []string{"written"})
}

// Who can not show a list of access control with another's id, says so.
func TestUserForeignACL(t *testing.T) {
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) {
			s := newScene(t, script("getfacl -cn old | grep -q user:33: || setfacl -m u:3000000:r new")...)
			s.cmd.Staging, s.method = "", byUser{m, "user"}
			shell(t, s.dir, "touch old new; setfacl -m u:33:r,u:3000000:rw old")
			r, err := s.try(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			shown := r.ExitCode == 0
			told := slices.ContainsFunc(r.Blind, func(b string) bool { return strings.Contains(b, "access control") })
			if shown == told {
				t.Errorf("shown: %v, and said not to be: %v", shown, told)
			}
		})
	}
}

// A run that is cancelled while its sandbox is being made leaves nothing behind.
func TestUserCancelled(t *testing.T) {
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) {
			s := newScene(t, "sleep", "1000")
			s.method = byUser{m, "user"}
			enterable(s.staging)
			if err := os.Chmod(s.staging, 0o777); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for ctx.Err() == nil {
					if begun, _ := os.ReadDir(s.staging); len(begun) > 0 { // read below, too
						cancel()
					}
				}
			}()
			s.checked(func() {
				if _, err := s.try(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("error: %v", err)
				}
				if left, err := os.ReadDir(s.staging); err != nil || len(left) > 0 {
					t.Errorf("left in the staging area: %v, %v", left, err)
				}
			})
		})
	}
}

// A user's sandbox holds others: each lists what was done in it, and not in those inside.
func TestUserNested(t *testing.T) {
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		t.Run(m.Name(), func(t *testing.T) {
			s := newScene(t)
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			enterable(exe)
			within := func(do string, inside ...string) []string {
				return slices.Concat(script(do), []string{"sh"}, helper("changes "+m.Name(), s.dir), inside)
			}
			s.cmd.Args = within(`test "$("$@")" = '["A outer"]'; test ! -e outer; rm old`,
				within(`test "$("$@")" = '["A d" "A d/x" "A new" "D old" "D sub/x"]'; test -e old; echo 1 >outer`,
					script(`rm old; echo 1 >new; mkdir d; mv sub/x d`)...)...)
			s.cmd.Staging, s.method = "", byUser{m, "user"}
			shell(t, s.dir, "mkdir sub; echo 1 >old; echo 1 >sub/x; chmod -R go+w .")
			r := s.run()
			want(t, "status", r.ExitCode, 0)
			want(t, "changes", changes(r.List, s.dir), []string{"D old"})
		})
	}
}

// Root in a user namespace with one id, where setgroups(2) is denied, is as good as a user.
func TestUserNamespaceRoot(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	shell(t, dir, "echo 1 >old")
	for _, m := range []capture.Method{Rootless{}, Fuse{}} {
		run := append([]string{"-Ur"}, helper("changes "+m.Name(), append([]string{dir}, script("rm old; echo 1 >new")...)...)...)
		out, err := exec.Command("unshare", run...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", m.Name(), err)
		}
		want(t, m.Name(), string(out), `["A new" "D old"]`+"\n")
	}
}

// helpChanges runs a command by a method, and prints what changed below a directory.
func helpChanges(m capture.Method, args []string) int {
	ctx := context.Background()
	r, err := m.Run(ctx, capture.Command{Args: args[1:], Env: os.Environ(), Dir: args[0], Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("%q\n", changes(r.List, args[0]))
	if err := r.Close(); err != nil || r.ExitCode != 0 {
		fmt.Fprintln(os.Stderr, r.ExitCode, err)
		return 1
	}
	return 0
}

// The names of a hard link are found on another file system than the root's, too.
func TestUserLinks(t *testing.T) {
	s := newScene(t, "true")
	shell(t, s.dir, "mkdir -p d/mount; mount -t tmpfs -o mode=755 tmpfs d/mount; cd d/mount; mkdir -p a b/c; echo 1 >a/x; ln a/x b/c/y")
	defer shell(t, s.dir, "umount d/mount")
	s.cmd.Args, s.cmd.Staging, s.method = script("echo 2 >d/mount/a/x"), "", byUser{Fuse{}, "user"}
	want(t, "changes", changes(s.run().List, s.dir+"/d/mount"), []string{"M a/x", "M b/c/y"})
}

// A terminal that is handed over is not in the sandbox's own devpts, but has a name.
func TestTerminalName(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(ptmx.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	s := newScene(t, "tty")
	said := filepath.Join(t.TempDir(), "said")
	if s.cmd.Stdout, err = os.Create(said); err != nil {
		t.Fatal(err)
	}
	defer s.cmd.Stdout.Close()
	s.cmd.Stdin = terminal
	r, err := Rootless{}.Run(t.Context(), s.cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "the terminal", string(text), "/dev/console\n")
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
