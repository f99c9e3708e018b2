package capture_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/plist"
)

// TestLstat compares what Lstat says with what outside tools see.
func TestLstat(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	script := exec.Command("sh", "-ec", `
		echo 1 >file; ln file link; chmod 4755 file; chown 1:2 file; setfattr -n user.a -v 1 file; touch -d @-5.25 file
		setfattr -n user.large -v "$(head -c 3000 /dev/zero | tr '\0' x)" file
		cp /bin/true caps; setcap cap_net_raw+ep caps; chattr +A caps
		ln -s "$(printf %01000d 0)" long; ln -s file sym; setfattr -h -n trusted.s -v 2 sym
		mkdir dir; chmod 3777 dir; setfacl -m u:5:rwx,d:g:6:rx dir; chattr +d dir
		mkfifo fifo; chmod 600 fifo; setfattr -n trusted.f -v 3 fifo
		mknod null c 1 3; mknod disk b 259 1048575; truncate -s 3M sparse; : >unreadable; chmod 0 unreadable`)
	script.Dir = dir
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	want := capturetest.Take(t, dir)
	if len(want) != 12 {
		t.Fatalf("%d files to look at", len(want))
	}
	for name, w := range want {
		e, inode, err := capture.Lstat(fd, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w.Sum, w.Links = "", ""
		if got := shot(&e, inode); got != w {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, w)
		}
	}
	if _, inode, err := capture.Lstat(fd, "link"); err != nil || inode.Nlink != 2 {
		t.Errorf("link: %d links, %v", inode.Nlink, err)
	}
	if _, _, err := capture.Lstat(fd, "gone"); !os.IsNotExist(err) {
		t.Errorf("gone: %v", err)
	}
}

// shot writes what Lstat found as the outside tools do.
func shot(e *plist.Entry, inode capture.Inode) capturetest.Shot {
	s := capturetest.Shot{
		Type:  map[os.FileMode]string{0: "f", os.ModeDir: "d", os.ModeSymlink: "l", os.ModeNamedPipe: "p", os.ModeDevice: "b", os.ModeDevice | os.ModeCharDevice: "c"}[e.Mode.Type()],
		Mode:  strconv.FormatUint(uint64(plist.UnixPerm(e.Mode)), 8),
		Owner: fmt.Sprintf("%d:%d", e.UID, e.GID),
		Time:  fmt.Sprintf("%d.%09d", e.ModTime.Unix(), e.ModTime.Nanosecond()),
		Link:  e.Link,
		Flags: e.Flags,
		Inode: fmt.Sprintf("%d:%d", inode.Dev, inode.Ino),
	}
	if s.Type == "f" {
		s.Size = strconv.FormatInt(e.Size, 10)
	}
	if s.Type == "b" || s.Type == "c" {
		s.Device = fmt.Sprintf("%x:%x", e.Major, e.Minor)
	}
	var attrs []string
	for name, value := range e.Xattrs {
		attrs = append(attrs, name+"=0x"+hex.EncodeToString([]byte(value)))
	}
	slices.Sort(attrs)
	s.Xattrs = strings.Join(attrs, " ")
	return s
}

// TestLstatAccessTime: the access time of what is looked at stays.
func TestLstatAccessTime(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	const old = "@1000000000"
	if out, err := exec.Command("touch", "-a", "-d", old, filepath.Join(dir, "a")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fd, err := capture.OpenAt(unix.AT_FDCWD, filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("stat", "-c", "@%X", filepath.Join(dir, "a")).Output()
	if err != nil || strings.TrimSpace(string(out)) != old {
		t.Errorf("access time %s, %v", out, err)
	}
}
