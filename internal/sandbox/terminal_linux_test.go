package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"
)

// A console is an interactive shell on a terminal, to type at.
type console struct {
	t      *testing.T
	master *os.File
	seen   chan string
	text   string // what was seen since the last wait
	shell  *os.Process
}

// newConsole starts a job-control shell in which "run" is the supervisor.
func newConsole(t *testing.T) *console {
	t.Helper()
	need.Root(t)
	bash := need.Program(t, "bash")
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd := exec.Command(bash, "--norc", "-i")
	cmd.Env = append(os.Environ(), "PS1=$ ", "SANDBOX_TEST_RUN=1", "HISTFILE=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	// What we catch is not ignored in a child, also if we are under nohup(1).
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	defer signal.Reset(unix.SIGHUP)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, master: master, seen: make(chan string)}
	go func() {
		defer close(c.seen)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return // EIO: the last slave is closed
			}
			c.seen <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range c.seen { // until no process has the terminal any more
		}
		_ = cmd.Wait()
		master.Close()
	})
	c.shell = cmd.Process
	c.typ("run() { " + os.Args[0] + " \"$@\"; }; stty -echo\n")
	c.typ("echo con''sole\n")
	c.wait("console")
	return c
}

func (c *console) typ(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// wait waits until text was seen.
func (c *console) wait(text string) {
	c.t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(c.text, text) {
		select {
		case more, ok := <-c.seen:
			if !ok {
				c.t.Fatalf("the terminal was closed after %q, before %q", c.text, text)
			}
			c.text += more
		case <-deadline:
			c.t.Fatalf("saw %q, and not %q", c.text, text)
		}
	}
	_, c.text, _ = strings.Cut(c.text, text)
}

func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []string // to type, then to see, in turn
	}{
		{"read", []string{
			"run sh -c 'read x; echo got $x'; echo status $?\n", "",
			"word\n", "got word", "", "status 0",
		}},
		{"interrupt", []string{
			`run sh -c 'trap "exit 4" INT; echo up; while :; do sleep 0.05; done'; echo status $?` + "\n", "up",
			"\x03", "status 4",
		}},
		{"interrupt kills", []string{
			"run sh -c 'echo up; exec sleep 1000'; echo status $?\n", "up",
			"\x03", "status 130",
		}},
		{"stop and continue", []string{
			"run sh -c 'echo up; read x; echo got $x'; echo status $?\n", "up",
			"\x1a", "Stopped", "jobs\n", "Stopped",
			"fg\n", "", "word\n", "got word", "echo still here\n", "still here",
		}},
		{"background", []string{
			"run sh -c 'echo up; sleep 0.3; echo done' &\n", "up", "", "done",
			"echo still here\n", "still here",
		}},
		{"background wants to read", []string{
			"run sh -c 'read x; echo got $x' &\n", "", "sleep 0.5; jobs\n", "Stopped",
			"fg\n", "", "word\n", "got word",
		}},
		{"in a pipeline", []string{
			"run sh -c 'read x; echo got $x' | cat; echo status $?\n", "",
			"word\n", "got word", "", "status 0",
		}},
		{"interrupt in a pipeline", []string{
			"run sh -c 'echo up; exec sleep 1000' | cat\n", "up",
			"\x03", "", "echo status ${PIPESTATUS[0]}\n", "status 130",
		}},
		{"a shell with jobs inside", []string{
			"run bash --norc -i; echo status $?\n", "", "PS1='inside '\n", "inside", "sleep 1000\n", "", "\x1a", "Stopped",
			"fg\n", "sleep 1000", "\x03", "inside", "exit 6\n", "status 6", "echo still here\n", "still here",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newConsole(t)
			for i := 0; i < len(test.steps); i += 2 {
				if keys := test.steps[i]; keys != "" {
					time.Sleep(100 * time.Millisecond) // let the last step's processes get to where they wait
					c.typ(keys)
				}
				c.wait(test.steps[i+1])
			}
		})
	}
}

// A command that waits for its terminal does not outlive the shell, nor does the
// supervisor.
func TestTerminalGone(t *testing.T) {
	for _, stop := range []string{"", "\x1a"} {
		c := newConsole(t)
		c.typ("run sh -c 'echo up; while :; do read x; done'\n")
		c.wait("up")
		time.Sleep(100 * time.Millisecond)
		c.typ(stop)
		if stop != "" {
			c.wait("Stopped")
		}
		if err := c.shell.Kill(); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool)
		go func() {
			for range c.seen {
			}
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("after %q somebody still has the terminal:\n%s", stop, psOf())
		}
	}
}

func psOf() string {
	out, err := exec.Command("ps", "-eo", "pid,ppid,pgid,sid,stat,args").Output()
	if err != nil {
		return err.Error()
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, os.Args[0]) || strings.Contains(line, initName) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}
