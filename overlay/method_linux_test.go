package overlay

import (
	"context"
	"os"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

func TestFirst(t *testing.T) {
	if err := (Method{}).Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, err := Method{}.Run(context.Background(), capture.Command{
		Args: []string{"sh", "-c", "id; pwd; cat /proc/self/mountinfo; ps aux; ls -la / /run /dev; echo hi > /usr/local/hi; cat /proc/self/status | grep Cap; exit 3"},
		Env: os.Environ(), Dir: "/tmp", Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r.List)
	t.Log(r.ExitCode)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
