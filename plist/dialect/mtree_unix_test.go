//go:build unix

package dialect

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// onDisk makes some odd files and the list of them.
func onDisk(t *testing.T) (string, *plist.List) {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a b", "d/#hash", "d/ü=*?[\\", "d/new\nline"} {
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), []byte("content"), 0o640))
	}
	must(os.Symlink("../a b", filepath.Join(dir, "d/link")))
	must(os.Chmod(filepath.Join(dir, "d/#hash"), fs.ModeSetuid|0o755))
	l := &plist.List{Prefix: "/"}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		must(err)
		if !d.IsDir() && d.Type() == 0 {
			must(os.Chtimes(name, time.Now(), time.Unix(1700000000, 123456789)))
		}
		info, err := os.Lstat(name)
		must(err)
		e := plist.Entry{Op: plist.OpAdd, Path: rel, Mode: info.Mode(), ModTime: info.ModTime()}
		e.UID, e.GID = info.Sys().(*syscall.Stat_t).Uid, info.Sys().(*syscall.Stat_t).Gid
		switch d.Type() {
		case 0:
			e.Size = info.Size()
		case fs.ModeSymlink:
			e.Link, err = os.Readlink(name)
		}
		l.Entries = append(l.Entries, e)
		return err
	})
	must(err)
	l.Sort()
	return dir, l
}

// TestMtreeVerifies lets NetBSD's mtree(8) compare the list with the files.
func TestMtreeVerifies(t *testing.T) {
	mtree := need.Program(t, "mtree")
	dir, l := onDisk(t)
	verify := func() string {
		cmd := exec.Command(mtree, "-p", dir)
		cmd.Stdin = strings.NewReader(mustWrite(t, "mtree", l))
		out, err := cmd.CombinedOutput()
		if err == nil {
			return ""
		}
		return string(out)
	}
	if out := verify(); out != "" {
		t.Errorf("mtree(8) finds differences:\n%s", out)
	}
	l.Find("a b").Size++ // and would it have found one?
	if out := verify(); !strings.Contains(out, "size") {
		t.Errorf("mtree(8) finds no difference in size: %q", out)
	}
}

// TestMtreeReadsOthers reads what libarchive and mtree(8) write of the same files.
func TestMtreeReadsOthers(t *testing.T) {
	dir, want := onDisk(t)
	for _, args := range [][]string{
		{"bsdtar", "--format=mtree", "-C", dir, "-cf", "-", "."},
		{"mtree", "-c", "-p", dir, "-k", "type,mode,uid,gid,size,time,link"},
		{"mtree", "-c", "-p", dir, "-k", "type,mode,uname,gname,size,time,link"},
		{"sh", "-c", `mtree -c -p "$1" -k all | sed 's/ uname=root/ uid=0/; s/ gname=root/ gid=0/'`, "sh", dir},
		{"sh", "-c", `mtree -c -p "$1" -k type,mode,uid,gid,size,time,link | mtree -C`, "sh", dir},
		{"sh", "-c", `mtree -c -p "$1" -k type,mode,uid,gid,size,time,link | mtree -D`, "sh", dir},
	} {
		if strings.Contains(strings.Join(args, " "), "uname") && os.Getuid() != 0 {
			continue // only root's name is known without a passwd file
		}
		if _, err := exec.LookPath(args[0]); err != nil {
			need.Program(t, args[0])
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		if got := text(t, parse(t, "mtree", string(out))); got != string(out) {
			t.Errorf("%v: other bytes", args)
		}
		got, err := ReadMtree(bytes.NewReader(out))
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		if len(got.Entries) != len(want.Entries) {
			t.Fatalf("%v: %d entries, want %d\n%s", args, len(got.Entries), len(want.Entries), out)
		}
		for i := range got.Entries {
			g, w := got.Entries[i], want.Entries[i]
			if g.Mode.Type() == fs.ModeSymlink { // some write no mode of a link
				g.Mode = w.Mode
			}
			if !g.ModTime.Equal(w.ModTime) {
				g.ModTime = g.ModTime.Truncate(time.Second) // libarchive may write whole seconds
				w.ModTime = w.ModTime.Truncate(time.Second)
			}
			if !g.Same(&w) {
				t.Errorf("%v:\n got %+v\nwant %+v", args[0], g, w)
			}
		}
	}
}

// TestReadMtreeDevice: numbers as mtree(8), libarchive and other systems write them.
func TestReadMtreeDevice(t *testing.T) {
	for s, want := range map[string][2]uint32{
		"native,1,3": {1, 3}, "linux,0x1,0x3": {1, 3}, "0x103": {1, 3}, "259": {1, 3}, "0x100345": {3, 0x145}, "": {0, 0},
	} {
		l, err := ReadMtree(strings.NewReader("./a type=block mode=0600 device=" + s + "\n"))
		if err != nil || l.Entries[0].Major != want[0] || l.Entries[0].Minor != want[1] {
			t.Errorf("%q: %v, %v", s, l, err)
		}
	}
}

// TestReadMtreeLines: what a line is, and where the path in it.
func TestReadMtreeLines(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"./a \\\n type=file\n./b type=file\n", "a b"},
		{"./a\\\\ type=file\n./b type=file\n", `a\ b`},
		{"type=file ./a\\\\\ntype=dir ./b\n", `a\ b`},
		{"./a type=file \\", "a"},
		{"/set type=file uid=0\na\n b\nc type=dir\n d\n..\n/unset uid\ne\n", "a b c c/d e"},
		{". type=dir\na=b type=file\n\n# c\r\nd type=dir\r\n..\n", "a=b d"},
	} {
		l, err := ReadMtree(strings.NewReader(tt.text))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		var got []string
		for _, e := range l.Entries {
			got = append(got, e.Path)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestReadMtreeRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"./a\n", "unknown type"},
		{"./a type=file mode=u+x\n", "mode"},
		{"./a type=file uname=www\n", "uname=www without uid"},
		{"./a type=file time=now\n", "time"},
		{"./a type=file size=x\n", "line 1"},
		{"./a\\q type=file\n", "escape"},
		{"../a type=file\n", "not clean"},
		{"./a type=file\n./a type=file\n", "order"},
		{"./a type=link\n", "symlink without target"},
		{"./a type=char device=x\n", "line 1"},
		{"./a type=char device=native,1\n", "line 1"},
	} {
		if _, err := ReadMtree(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}
