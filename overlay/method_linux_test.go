package overlay

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/google/go-cmp/cmp"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	if help := os.Getenv("OVERLAY_TEST_HELP"); help != "" {
		os.Exit(helpers[help](os.Args[1:]))
	}
	os.Exit(m.Run())
}

// helpers are what this program does for a test when it is started again, inside
// the sandbox or as a supervisor to be killed.
var helpers = map[string]func(args []string) int{
	"dial":  helpDial,
	"run":   func(args []string) int { return helpRun(Method{}, args) },
	"probe": helpProbe,

	"changes rootless": func(args []string) int { return helpChanges(Rootless{}, args) },
	"changes fuse":     func(args []string) int { return helpChanges(Fuse{}, args) },

	"run fuse":   func(args []string) int { return helpRun(Fuse{}, args) },
	"user probe": helpUserProbe,
	"user run":   helpUserRun,

	"select without overlays": helpSelect,
}

// helper describes a start of this program as one of helpers.
func helper(name string, args ...string) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{"env", "OVERLAY_TEST_HELP=" + name, exe}, args...)
}

// A scene is a host directory with a run in it that must not change it.
type scene struct {
	t       *testing.T
	dir     string // the command's working directory
	staging string
	method  capture.Method
	cmd     capture.Command
	out     bytes.Buffer // what the command wrote
}

// newScene prepares to run a command. After the test, nothing on the host is
// other than it was: not the directory, not /dev, not the mount table; no staging
// and no process is left.
func newScene(t *testing.T, args ...string) *scene {
	t.Helper()
	need.Root(t)
	if err := (Method{}).Probe(context.Background()); err != nil {
		need.Lacks(t, "overlay", err)
	}
	s := &scene{t: t, dir: t.TempDir(), staging: t.TempDir(), method: Method{}}
	s.cmd = capture.Command{Args: args, Env: os.Environ(), Dir: s.dir, Staging: s.staging}
	return s
}

// script is a command for the shell.
func script(text string) []string { return []string{"sh", "-ec", text} }

// host is what a run may not change.
type host struct{ Dir, Devices, MountTable string }

func (s *scene) host() host {
	s.t.Helper()
	devices := output(s.t, "find", "/dev", "-xdev", "!", "-name", "loop*", "-printf", "%p %y %m %U:%G\n")
	return host{picture(s.t, s.dir), devices, s.mountTable()}
}

// mountTable returns the lines of mountinfo; where other tests may mount at the
// same time, only those that could be ours.
func (s *scene) mountTable() string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	if os.Getenv("OVERLAY_TEST_INSIDE") != "" {
		return string(table)
	}
	var ours []string
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, " sandbox-install ") || strings.Contains(line, s.dir) || strings.Contains(line, s.staging) {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "")
}

// picture is what find(1) sees of a tree, the times of inode changes with it,
// which no program can set back, and the sums of its files.
func picture(t *testing.T, dir string) string {
	t.Helper()
	return output(t, "sh", "-c", `cd "$1" &&
		find . -printf "%i %n %y %m %U:%G %s %T@ %C@ %p -> %l\n" | sort -k 9 &&
		find . -type f -exec sha256sum {} + | sort && getfattr --absolute-names -Rhdm - .`, "sh", dir)
}

// checked calls do and compares the host before and after.
func (s *scene) checked(do func()) {
	s.t.Helper()
	before := s.host()
	do()
	after := s.host()
	if diff := cmp.Diff(before, after); diff != "" {
		s.t.Errorf("the host was changed: -before +after:\n%s", diff)
	}
	if left, err := os.ReadDir(s.staging); err != nil || len(left) != 0 {
		s.t.Errorf("left in the staging area: %v, %v", left, err)
	}
	children := output(s.t, "ps", "-o", "args", "--no-headers", "--ppid", strconv.Itoa(os.Getpid()))
	if strings.Contains(children, "init") || strings.Contains(children, "union") {
		s.t.Errorf("processes left:\n%s", children)
	}
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).Output()
	var exit *exec.ExitError // ps(1), when it finds none
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// run runs the command to a result.
func (s *scene) run() *capture.Result {
	s.t.Helper()
	var result *capture.Result
	s.checked(func() {
		s.t.Helper()
		var err error
		if result, err = s.try(context.Background()); err != nil {
			s.t.Fatalf("%v; output:\n%s", err, s.out.String())
		}
		if err := result.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return result
}

// try runs the command, whose output goes to s.out.
func (s *scene) try(ctx context.Context) (*capture.Result, error) {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	read := make(chan error)
	go func() {
		_, err := s.out.ReadFrom(r)
		read <- err
	}()
	s.cmd.Stdout, s.cmd.Stderr = w, w
	result, err := s.method.Run(ctx, s.cmd)
	w.Close()
	if err := <-read; err != nil {
		s.t.Error(err)
	}
	return result, err
}

// changes are the paths of a result below dir, each after the letter of its
// operation.
func changes(l *plist.List, dir string) []string {
	var found []string
	for _, e := range l.Entries {
		if rel, ok := below("/"+e.Path, dir); ok {
			found = append(found, string(" AMD"[e.Op])+" "+rel)
		}
	}
	return found
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !cmp.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestRun(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script(`
		echo new > new; rm gone; echo more >> changed
		echo device > /dev/sandbox-install-test; rm /dev/sandbox-install-test
		exit 7`)...)
	for _, name := range []string{"gone", "changed", "kept"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	r := s.run()
	want(t, "output", s.out.String(), "")
	want(t, "status", r.ExitCode, 7)
	want(t, "changes", changes(r.List, s.dir), []string{"M changed", "D gone", "A new"})
	want(t, "notes", len(r.List.Notes), 0)
}

func TestExitCode(t *testing.T) {
	for text, code := range map[string]int{"true": 0, "exit 200": 200, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		s := newScene(t, script(text)...)
		want(t, text, s.run().ExitCode, code)
	}
}

func TestStartError(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		is   error
	}{
		{"missing", []string{"no-such-program"}, fs.ErrNotExist},
		{"missing path", []string{"./no-such-program"}, fs.ErrNotExist},
		{"missing interpreter", []string{"./astray"}, fs.ErrNotExist},
		{"not executable", []string{"./plain"}, fs.ErrPermission},
		{"directory", []string{"/"}, fs.ErrPermission},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, test.args...)
			writeFile(t, s.dir+"/plain", "", 0o644)
			writeFile(t, s.dir+"/astray", "#!/no/such/interpreter\n", 0o755)
			s.checked(func() {
				_, err := s.try(context.Background())
				var start *capture.StartError
				if !errors.As(err, &start) || start.Name != test.args[0] || !errors.Is(err, test.is) {
					t.Errorf("got %v, want a StartError of %s that is %v", err, test.args[0], test.is)
				}
			})
		})
	}
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// A script without a first line is the shell's, as with execvp(3).
func TestScriptWithoutInterpreter(t *testing.T) {
	s := newScene(t, "./script", "word")
	writeFile(t, s.dir+"/script", `test "$1" = word && exit 9`, 0o755)
	want(t, "status", s.run().ExitCode, 9)
}

func TestMissingDirectory(t *testing.T) {
	s := newScene(t, "true")
	s.cmd.Dir = filepath.Join(s.dir, "missing")
	s.checked(func() {
		_, err := s.try(context.Background())
		var start *capture.StartError
		if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &start) {
			t.Errorf("got %v, want an error about the directory and not the command", err)
		}
	})
}

func TestCancel(t *testing.T) {
	s := newScene(t, "sh", "-c", `trap 'echo asked' TERM; echo x > x; while :; do sleep 0.05; done`)
	s.checked(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		_, err := s.try(ctx)
		want(t, "cancelled", errors.Is(err, context.DeadlineExceeded), true)
	})
	if !strings.Contains(s.out.String(), "asked") {
		t.Errorf("SIGTERM did not reach the command: %q", s.out.String())
	}
}

// helpRun is a supervisor: its arguments are a staging directory and a command.
func helpRun(m capture.Method, args []string) int {
	cmd := capture.Command{
		Args: args[1:], Env: os.Environ(), Dir: "/", Staging: args[0], Stdout: os.Stdout, Stderr: os.Stderr,
		Isolate: capture.Isolation(os.Getenv("OVERLAY_TEST_ISOLATE")),
	}
	r, err := m.Run(context.Background(), cmd)
	if err != nil {
		println(err.Error())
		return 125
	}
	if err := r.Close(); err != nil {
		println(err.Error())
		return 125
	}
	return r.ExitCode
}

// When the supervisor is killed, so is everything in the sandbox, and the next
// run removes its staging directory.
func TestSupervisorKilled(t *testing.T) {
	newScene(t, "true").killSupervisor()
}

// killSupervisor runs a command in a process that is killed meanwhile, then the
// scene.
func (s *scene) killSupervisor(env ...string) {
	t := s.t
	t.Helper()
	s.checked(func() {
		t.Helper()
		args := helper("run", s.staging, "sh", "-c", "echo up; exec sleep 1000")
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// The pipe ends when the last process that holds it is gone: the command.
		if n, err := out.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("the command is still there: %d, %v", n, err)
		}
		_ = cmd.Wait() // killed
		if left, err := os.ReadDir(s.staging); err != nil || len(left) != 1 {
			t.Errorf("staging of the killed run: %v, %v", left, err)
		}
		s.run()
	})
}

func TestOutlived(t *testing.T) {
	s := newScene(t, script(`
		(sleep 0.4; echo late > late) &
		setsid sleep 1000 &
		(trap '' TERM; sleep 1001; sleep 1002) &
		echo early > early`)...)
	r := s.run()
	want(t, "changes", changes(r.List, s.dir), []string{"A early", "A late"})
	var named []string
	for _, n := range r.List.Notes {
		want(t, "kind", n.Kind, plist.NoteOutlived)
		_, command, _ := strings.Cut(n.Text, "stopped: ")
		named = append(named, command)
	}
	for _, command := range []string{"sleep 1000", "sleep 1001"} {
		if !slices.Contains(named, command) {
			t.Errorf("%q is not among the named: %q", command, named)
		}
	}
}

// What a background process still writes is captured without a word.
func TestBackground(t *testing.T) {
	s := newScene(t, script(`(sleep 0.4; echo late > late) & echo early > early`)...)
	r := s.run()
	want(t, "changes", changes(r.List, s.dir), []string{"A early", "A late"})
	want(t, "notes", len(r.List.Notes), 0)
}
