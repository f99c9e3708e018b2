package fuse

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// An inProcess is a union that the test itself serves, to look into it. Who serves must not
// wait for the union, not even to start a command in it.
type inProcess struct {
	*Union
	base string // with lower and merged
}

// serveHere serves a union of what a script makes in its lower directory.
func serveHere(t *testing.T, script string) *inProcess {
	t.Helper()
	need.Root(t)
	p := &inProcess{base: t.TempDir()}
	p.sh(t, `cd "$1"; mkdir lower upper work merged; cd lower; `+script)

	// What a server's process is like.
	t.Chdir("/proc/self/fd")
	umask := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(umask) })
	var files []*os.File
	open := func(name string, flags int) *os.File {
		f, err := os.OpenFile(name, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		return f
	}
	in := func(name string) *os.File { return open(filepath.Join(p.base, name), os.O_RDONLY) }
	dev, on := open("/dev/fuse", os.O_RDWR), filepath.Join(p.base, "merged")
	options := "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,fd=" + strconv.Itoa(int(dev.Fd()))
	if err := unix.Mount("union", on, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	opt := UnionOptions{Lowers: []*os.File{in("lower")}, Upper: in("upper"), Work: in("work"), Private: "trusted.overlay."}
	var err error
	if p.Union, err = newUnion(dev, opt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- p.serve() }()
	t.Cleanup(func() {
		if err := unix.Unmount(on, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.files.close()
		for p.dirs.order.Len() > 0 {
			p.dirs.remove(p.dirs.order.Back())
		}
		for _, fd := range []int{p.work, p.dirs.kept[&p.tmp], p.dirs.kept[&p.index]} {
			unix.Close(fd)
		}
		for _, f := range files {
			f.Close()
		}
	})
	return p
}

// command is a shell that runs a script, of which $1 is the base.
func (p *inProcess) command(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", script, "sh", p.base)
	cmd.Dir = "/"
	return cmd
}

func (p *inProcess) sh(t *testing.T, script string) {
	t.Helper()
	if out, err := p.command(script).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}
