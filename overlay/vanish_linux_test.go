package overlay

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Other programs mount and unmount while a run is prepared: container engines do
// it all the time.
func TestMountsComeAndGo(t *testing.T) {
	if !privately(t) {
		return
	}
	s := newScene(t, script("echo new >new")...)
	elsewhere := t.TempDir()
	stop, stopped := make(chan bool), make(chan error)
	go func() { stopped <- comeAndGo(elsewhere, stop) }()
	for range 25 {
		result, err := s.try(t.Context())
		if err != nil {
			t.Errorf("%v; output:\n%s", err, s.out.String())
			break
		}
		want(t, "status", result.ExitCode, 0)
		want(t, "changes", changes(result.List, s.dir), []string{"A new"})
		if err := result.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// comeAndGo mounts on a new directory, and a file on a new file, and removes all
// of it, again and again.
func comeAndGo(dir string, stop <-chan bool) error {
	mnt, file := filepath.Join(dir, "mnt"), filepath.Join(dir, "file")
	steps := []func() error{
		func() error { return os.Mkdir(mnt, 0o755) },
		func() error { return unix.Mount("tmpfs", mnt, "tmpfs", 0, "") },
		func() error { return os.WriteFile(file, nil, 0o644) },
		func() error { return unix.Mount("/etc/passwd", file, "", unix.MS_BIND, "") },
		func() error { return unix.Unmount(mnt, unix.MNT_DETACH) },
		func() error { return os.Remove(mnt) },
		func() error { return unix.Unmount(file, unix.MNT_DETACH) },
		func() error { return os.Remove(file) },
	}
	for {
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// TestFileSystemDies: a program behind FUSE that ends takes along what was done to its
// files, and nothing else.
func TestFileSystemDies(t *testing.T) {
	if !privately(t) {
		return
	}
	for _, method := range []capture.Method{Method{}, Fuse{}} {
		s := newScene(t, script(`echo lost >mnt/lost || :; echo new >new`)...)
		s.method = method
		if err := method.Probe(t.Context()); err != nil {
			need.Lacks(t, method.Name(), err)
		}
		served := t.TempDir()
		mnt := filepath.Join(s.dir, "mnt")
		if err := errors.Join(os.Mkdir(mnt, 0o755), os.WriteFile(filepath.Join(served, "old"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		server := exec.Command("bindfs", "-f", served, mnt)
		if err := server.Start(); err != nil {
			need.Lacks(t, "bindfs", err)
		}
		for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(mnt, "old")); err == nil {
				break
			} else if time.Since(begun) > time.Minute {
				t.Fatal(err)
			}
		}
		s.cmd.Started = func() { _ = server.Process.Kill(); _ = server.Wait() }
		result, err := s.try(t.Context())
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatalf("%s: %v; output:\n%s", method.Name(), err, s.out.String())
		}
		want(t, "status", result.ExitCode, 0)
		want(t, "changes", changes(result.List, s.dir), []string{"A new"})
		if !slices.ContainsFunc(result.List.Notes, func(n plist.Note) bool {
			return n.Kind == plist.NoteLost && strings.Contains(n.Text, mnt+" went away")
		}) {
			t.Errorf("%s: nothing is told of the loss: %v", method.Name(), result.List.Notes)
		}
		if err := result.Close(); err != nil {
			t.Error(err)
		}
	}
}
