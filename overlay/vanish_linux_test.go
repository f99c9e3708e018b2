package overlay

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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
