package fuse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// An oracle is a file system that answers by the name that is looked up: "N-M" is a file
// whose number is N, "wait-N" one that is told after "go-N" has been asked for, "errno-N"
// an error.
type oracle struct {
	gofuse.RawFileSystem
	mu   sync.Mutex
	gone map[string]chan struct{}
}

func (o *oracle) gate(round string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone[round] == nil {
		o.gone[round] = make(chan struct{})
	}
	return o.gone[round]
}

func (o *oracle) Lookup(_ <-chan struct{}, _ *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	word, round, _ := strings.Cut(name, "-")
	switch word {
	case "errno":
		n, _ := strconv.Atoi(round)
		return gofuse.Status(n)
	case "wait":
		<-o.gate(round)
		return gofuse.ENOENT
	case "go":
		close(o.gate(round))
		return gofuse.ENOENT
	}
	n, _ := strconv.Atoi(word)
	out.NodeId, out.Ino, out.Mode, out.Nlink = uint64(n), uint64(n), unix.S_IFREG|0o644, 1
	out.SetAttrTimeout(time.Minute)
	return gofuse.OK
}

// ask mounts an oracle, and returns what looks a name up in it and reports its number.
func ask(t *testing.T) (look func(name string) (uint64, error), threads int) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("oracle", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	o := &oracle{RawFileSystem: gofuse.NewDefaultRawFileSystem(), gone: make(map[string]chan struct{})}
	d, err := newDevice(dev, gofuse.NewProtocolServer(o, &gofuse.MountOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- d.serve() }()
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		o.mu.Lock() // let go of whom a failure left waiting
		for _, gate := range o.gone {
			select {
			case <-gate:
			default:
				close(gate)
			}
		}
		o.mu.Unlock()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(name string) (uint64, error) {
		var st unix.Stat_t
		err := unix.Lstat(filepath.Join(dir, name), &st)
		return st.Ino, err
	}, d.threads
}

// Answers that wait for other requests do not keep those from being answered, however long
// nothing was asked before, whatever the collector does, and each goes to who asked.
func TestTurns(t *testing.T) {
	look, threads := ask(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := range 40 {
			var all sync.WaitGroup
			for range threads - 1 {
				all.Go(func() {
					if _, err := look(fmt.Sprintf("wait-%d", round)); err != unix.ENOENT {
						t.Errorf("wait: %v", err)
					}
				})
			}
			for k := range 2 {
				all.Go(func() {
					for i := range 50 {
						n := uint64(1000*k + i + 2)
						if got, err := look(fmt.Sprintf("%d-%d", n, round)); err != nil || got != n {
							t.Errorf("%d: got %d, %v", n, got, err)
						}
					}
					if k == 0 {
						if _, err := look(fmt.Sprintf("go-%d", round)); err != unix.ENOENT {
							t.Errorf("go: %v", err)
						}
					}
				})
			}
			if round%4 == 0 {
				runtime.GC()
			}
			all.Wait()
			time.Sleep(time.Duration(round%8) * patience / 2) // up to when watch is idle
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("a request is not answered")
	}
}

// An errno that the kernel does not take is EIO, and nobody waits for ever.
func TestOddErrno(t *testing.T) {
	look, _ := ask(t)
	for _, errno := range []unix.Errno{unix.EPERM, 511, 512, 524} {
		want := errno
		if errno >= 512 {
			want = unix.EIO
		}
		got := make(chan error, 1)
		go func() {
			_, err := look(fmt.Sprintf("errno-%d", errno))
			got <- err
		}()
		select {
		case err := <-got:
			if !errors.Is(err, want) {
				t.Errorf("errno %d: got %v", errno, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("errno %d: no answer", errno)
		}
	}
}
