//go:build amd64

package redirect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// TestChildren has the tracer's thread be the parent of children that it does not trace:
// one that has ended and one that goes on. It waits for neither, and takes no status.
func TestChildren(t *testing.T) {
	ended, lives := exec.Command("sh", "-c", "exit 3"), exec.Command("cat")
	out, outErr := ended.StdoutPipe()
	in, inErr := lives.StdinPipe()
	address := fmt.Sprint("@sandbox-install-redirect-children-", os.Getpid())
	listener, err := net.Listen("unix", address)
	if err := errors.Join(outErr, inErr, err); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	r := &run{cmd: capture.Command{Args: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"}, dir: t.TempDir()}
	ready, traced := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good, as trace does
		err := errors.Join(ended.Start(), lives.Start())
		if err == nil {
			_, err = io.Copy(io.Discard, out)
		}
		if err != nil {
			ready <- err
			return
		}
		traced <- r.trace(listener.(*net.UnixListener), ready)
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	plan := sandbox.Plan{Args: []string{"/proc/self/exe"}, Env: []string{launchVariable + "=" + address}, Dir: "/", Bare: true, HostSockets: true}
	exit, err := sandbox.Run(context.Background(), plan, sandbox.Files{Stdout: os.Stderr, Stderr: os.Stderr})
	if err != nil || exit.Code != 0 {
		t.Errorf("the command: %+v, %v", exit, err)
	}
	select {
	case err = <-traced:
	case <-time.After(20 * time.Second):
		err = errors.New("waits for what it does not trace")
	}
	if err != nil {
		t.Errorf("the tracer: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lives.Wait(); err != nil {
		t.Errorf("the child that went on: %v", err)
	}
	var status *exec.ExitError
	if err := ended.Wait(); !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("the child that had ended: %v, want status 3", err)
	}
}
