package hashdiff

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// A file that is changed right after a snapshot, within the grain of the clock that
// stamps it, keeps size, times and inode: only that it is racily clean tells. Here
// that is tried until the kernel has really given both contents one stamp. It is on a
// ramfs: since Linux 6.13 ext4, XFS, btrfs and tmpfs look at a finer clock once somebody
// has asked for the time of a file (multigrain timestamps); all others do not.
func TestRacilyClean(t *testing.T) {
	need.Root(t)
	root := t.TempDir()
	if err := unix.Mount("ramfs", root, "ramfs", 0, ""); err != nil {
		need.Lacks(t, "mount", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	name := filepath.Join(root, "f")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	set := func(content string) {
		if _, err := f.WriteAt([]byte(content), 0); err != nil {
			t.Fatal(err)
		}
	}
	same := 0
	for end := time.Now().Add(20 * time.Second); same < 3 && time.Now().Before(end); {
		set("before")
		before := scanAll(t, root)
		set("after!")
		after := scanWith(t, root, &slice{slices.Clone(before)})
		if before[1].Stamp != after[1].Stamp {
			continue // the clock moved in between
		}
		same++
		if before[1].Digest == after[1].Digest {
			t.Error("the new content of the same stamp was not read")
		}
		l, err := Diff(&slice{before}, &slice{after})
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Entries) != 1 || l.Entries[0].Path != "f" {
			t.Errorf("the difference is %+v", l.Entries)
		}
	}
	if same == 0 {
		t.Error("no change kept the stamp: this tests nothing")
	}
}

// TestChurn takes snapshots of a tree that others write to: it neither fails nor waits
// for a fifo, and counts what vanished and what was being written.
func TestChurn(t *testing.T) {
	root := t.TempDir()
	written, err := os.Create(filepath.Join(root, "written"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { written.Close() })
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := written.WriteAt([]byte{byte(i)}, 8<<20); err != nil { // long to read
					panic(err)
				}
				churn(filepath.Join(root, string(rune('a'+i%20))), i)
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	var all Tally
	for end := time.Now().Add(20 * time.Second); all.Vanished == 0 || all.Unsteady == 0; {
		if time.Now().After(end) {
			t.Fatalf("after 20 s: %+v", all)
		}
		tally, err := Write(t.Context(), io.Discard, Scope{Root: root, Paths: []string{"."}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		all.add(&tally)
	}
}

// churn makes one kind of file after the other of a name.
func churn(name string, i int) {
	err := errors.Join(os.RemoveAll(name), os.WriteFile(name, make([]byte, 1<<16), 0o600), os.WriteFile(name, make([]byte, 1<<17), 0o600))
	switch i % 3 {
	case 0:
		err = errors.Join(err, os.Remove(name), unix.Mkfifo(name, 0o600))
	case 1:
		err = errors.Join(err, os.Remove(name), os.Mkdir(name, 0o700))
	}
	if err != nil {
		panic(err)
	}
}
