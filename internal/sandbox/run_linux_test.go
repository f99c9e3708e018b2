package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Init()
	if os.Getenv("SANDBOX_TEST_RUN") != "" {
		os.Exit(helpRun())
	}
	os.Exit(m.Run())
}

// helpRun is a supervisor whose arguments are the command.
func helpRun() int {
	exit, err := runHere(context.Background(), Plan{Args: os.Args[1:], Env: os.Environ()}, Files{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return 125
	}
	return exit.Code
}

// runHere carries out a plan on the host's own root, with a /proc of its own.
func runHere(ctx context.Context, p Plan, files Files) (*Exit, error) {
	root, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, err
	}
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(root, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &private); err != nil {
		return nil, err
	}
	mount := os.NewFile(uintptr(root), "root")
	defer mount.Close()
	p.Mounts = []Mount{{Target: ".", File: 0}, {Target: "proc", File: -1, Type: "proc"}}
	if p.Dir == "" {
		p.Dir = "/"
	}
	p.Grace, p.Term = 2*time.Second, 200*time.Millisecond
	files.Mounts = []*os.File{mount}
	return Run(ctx, p, files)
}

// run runs a shell script and returns what it wrote.
func run(t *testing.T, script string) (string, *Exit) {
	t.Helper()
	need.Root(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	exit, err := runHere(t.Context(), Plan{Args: []string{"sh", "-c", script}, Env: os.Environ()}, Files{Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := r.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String(), exit
}

func TestRun(t *testing.T) {
	for script, code := range map[string]int{"true": 0, "exit 3": 3, "kill -KILL $$": 137} {
		if _, exit := run(t, script); exit.Code != code {
			t.Errorf("%s: %d, want %d", script, exit.Code, code)
		}
	}
}

// An init's children are reaped, whoever's they were.
func TestReap(t *testing.T) {
	out, _ := run(t, `
		for i in 1 2 3 4 5; do (sh -c 'sleep 0.1 & exit' &) ; done; sleep 0.4
		ps -e -o stat= | grep -c Z`)
	if out != "0\n" {
		t.Errorf("zombies: %s", out)
	}
}

// The command has what this program inherited, under the same numbers, and
// nothing of ours.
func TestDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	const number = 77
	if err := unix.Dup2(int(w.Fd()), number); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, `echo through > /proc/self/fd/77; ls /proc/self/fd | tr '\n' ' '`)
	unix.Close(number)
	w.Close()
	var through strings.Builder
	if _, err := r.WriteTo(&through); err != nil || through.String() != "through\n" {
		t.Errorf("through the inherited pipe: %q, %v", through.String(), err)
	}
	// What the shell that started the tests had open is inherited too.
	inherited, err := inheritedDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	want := 3 + 1 + len(inherited) + 1 // the standard ones, ours, and the one that ls reads
	if got := len(strings.Fields(out)); got != want {
		t.Errorf("descriptors %s: %d, want %d", out, got, want)
	}
}

func TestOutlived(t *testing.T) {
	_, exit := run(t, `sleep 1000 & (trap '' TERM; exec sleep 1001) & true`)
	if len(exit.Outlived) != 2 {
		t.Errorf("outlived: %v", exit.Outlived)
	}
}

func TestStartErrors(t *testing.T) {
	need.Root(t)
	for name, is := range map[string]error{"no-such-program": fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		_, err := runHere(t.Context(), Plan{Args: []string{name}, Env: os.Environ()}, Files{})
		var exec *ExecError
		if !errors.As(err, &exec) || exec.Name != name || !errors.Is(err, is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := runHere(t.Context(), Plan{Args: []string{"true"}, Env: os.Environ(), Dir: "/no/such/dir"}, Files{})
	var step *StepError
	if !errors.As(err, &step) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// A plan may hold any byte, and more of them than a pipe or a packet.
func TestOddPlan(t *testing.T) {
	need.Root(t)
	odd := "\xff\n'\x01" + strings.Repeat("x", 100<<10)
	plan := Plan{Args: []string{"sh", "-c", `test "$1" = "$ODD"`, "sh", odd}, Env: append(os.Environ(), "ODD="+odd)}
	exit, err := runHere(t.Context(), plan, Files{})
	if err != nil || exit.Code != 0 {
		t.Errorf("%v, %v", exit, err)
	}
}

func TestCancel(t *testing.T) {
	need.Root(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var cancelled time.Time
	go func() {
		_, _ = r.Read(make([]byte, 1)) // the command ignores the signal from now on
		cancelled = time.Now()
		cancel()
	}()
	_, err = runHere(ctx, Plan{Args: []string{"sh", "-c", "trap '' TERM; echo; sleep 1000; sleep 1000"}, Env: os.Environ()}, Files{Stdout: w})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if took := time.Since(cancelled); took < cancelGrace {
		t.Errorf("killed after %v, without the time to end by itself", took)
	}
}

// A cancelled run does not wait for what the command left running.
func TestCancelInGrace(t *testing.T) {
	need.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := runHere(ctx, Plan{Args: []string{"sh", "-c", "sleep 1000 &"}, Env: os.Environ()}, Files{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"a/plain": 0o644, "a/first": 0o755, "b/first": 0o755, "b/second": 0o755} {
		if err := os.WriteFile(dir+"/"+name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir + "/b")
	for _, test := range []struct{ name, path, want string }{
		{"first", dir + "/a:" + dir + "/b", dir + "/a/first"},
		{"second", dir + "/a:" + dir + "/b", dir + "/b/second"},
		{"second", dir + "/a::", "./second"},
		{"sub/x", dir, "sub/x"},
		{"none", dir + "/a", ""},
		{"plain", dir + "/a", ""},
		{"", dir, ""},
	} {
		got, err := LookPath(test.name, []string{"PATH=/wrong", "PATH=" + test.path})
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s in %s: %s, %v; want %s", test.name, test.path, got, err, test.want)
		}
	}
	if _, err := LookPath("plain", []string{"PATH=" + dir + "/a"}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("not executable: %v", err)
	}
}
