package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// A hostile archive is made of a good one: its list is changed, or its bytes are.
type hostile struct {
	name string

	// list changes the list before the archive is written. What may not stand in a
	// list is put there by forge, which has the same length.
	list  func(l *plist.List)
	forge [][2]string // in the list
	heads [][2]string // names and links in the headers of members
	bytes func(archive []byte) []byte

	there string // script that prepares the root
	flags []string

	root   bool // only root's files would run with the rights of others
	status int
	says   string // what standard error has; the name of what is wrong
}

var hostiles = []hostile{
	{name: "an absolute name", forge: [][2]string{{"./dir/aa ", "/etc//aa "}}, status: 125, says: `path "/etc//aa" does not begin with ./`},
	{name: "an absolute name in a header", heads: [][2]string{{"dir/aa\x00", "/etc/a\x00"}}, status: 3, says: `damaged: dir/aa: in its place the archive has "/etc/a"`},
	{name: "up and out", forge: [][2]string{{"./dir/aa ", "./../oaa "}}, heads: [][2]string{{"dir/aa\x00", "../oaa\x00"}}, status: 125, says: `path "../oaa": not clean`},
	{name: "up inside", forge: [][2]string{{"./dir/aa ", "./d/../a "}}, heads: [][2]string{{"dir/aa\x00", "d/../a\x00"}}, status: 125, says: `path "d/../a": not clean`},
	{name: "no name", forge: [][2]string{{"./dir/aa ", "./dir/// "}}, status: 125, says: `path "dir///": not clean`},
	{name: "a NUL in a name", forge: [][2]string{{"./dir/aa ", "./d\\000a "}}, status: 125, says: "holds a NUL byte"},
	{name: "a NUL in a target", forge: [][2]string{{"link=target\n", "link=\\000et\n"}}, status: 125, says: `path "link": a symlink without target, or with a NUL byte`},
	{name: "a duplicate", forge: [][2]string{{"./dir/bb ", "./dir/aa "}}, heads: [][2]string{{"dir/bb\x00", "dir/aa\x00"}}, status: 125, says: `path "dir/aa": after "dir/aa", out of order`},
	{name: "a duplicate in the archive", heads: [][2]string{{"dir/bb\x00", "dir/aa\x00"}}, status: 3, says: `damaged: dir/bb: in its place the archive has "dir/aa"`},
	{name: "out of order", forge: [][2]string{{"./dir/bb ", "./dir/a0 "}}, status: 125, says: `path "dir/a0": after "dir/aa", out of order`},
	{
		name: "below a symlink of the archive", status: 125, says: `path "link/x": below "link", which is no directory`,
		forge: [][2]string{{"./linkax ", "./link/x "}}, heads: [][2]string{{"linkax\x00", "link/x\x00"}},
		list: func(l *plist.List) { add(l, file("linkax", "")) },
	},
	{
		name: "below a file of the archive", status: 125, says: `path "dir/aa/x": below "dir/aa", which is no directory`,
		forge: [][2]string{{"./dir/aaax ", "./dir/aa/x "}}, heads: [][2]string{{"dir/aaax\x00", "dir/aa/x\x00"}},
		list: func(l *plist.List) { add(l, file("dir/aaax", "")) },
	},
	{name: "a directory that is a symlink out of the root", there: "mkdir ../outside; ln -s ../outside dir", status: 3, says: "/dir: is a symlink to no directory"},
	{name: "a file below a symlink of the root to a file", there: "echo x > f; ln -s f dir", status: 3, says: "/dir: is a symlink to no directory"},
	{name: "a loop of symlinks", there: "ln -s loop dir; ln -s dir loop", status: 3, says: "/dir: "},
	{name: "a hard link to what is outside", forge: [][2]string{{"hardlink=./dir/aa\n", "hardlink=/etc/pass\n"}}, status: 125, says: "hardlink"},
	{name: "a hard link up and out", forge: [][2]string{{"hardlink=./dir/aa\n", "hardlink=./../aaa\n"}}, status: 125, says: `path "hard": hard link to "../aaa", which is no earlier entry`},
	{name: "a hard link to what is not in the archive", forge: [][2]string{{"hardlink=./dir/aa\n", "hardlink=./etc/aa\n"}}, status: 125, says: `hard link to "etc/aa", which is no earlier entry`},
	{name: "a hard link to a symlink", forge: [][2]string{{"hardlink=./dir/aa\n", "hardlink=./././l\n"}}, status: 125, says: "hard link to"},
	{name: "a hard link out in a header", heads: [][2]string{{"1dir/aa\x00", "1/e/pwd\x00"}}, status: 3, says: "damaged: hard: its header and the list do not agree in link"},
	{name: "a device", list: func(l *plist.List) {
		add(l, plist.Entry{Op: plist.OpAdd, Path: "sda", Mode: fs.ModeDevice | 0o666, ModTime: sometime, Major: 8})
	}, status: 3, says: "/sda: is a device node"},
	{name: "set-id", root: true, list: func(l *plist.List) { l.Find("dir/aa").Mode |= fs.ModeSetuid; l.Find("hard").Mode |= fs.ModeSetuid }, status: 3, says: "/dir/aa: runs with the rights of its owner"},
	{
		name: "capabilities", root: true, status: 3, says: "/dir/bb: runs with the rights",
		list: func(l *plist.List) { l.Find("dir/bb").Xattrs = map[string]string{"security.capability": "x"} },
	},
	{name: "set-id by a change of mode", root: true, there: "echo x > tool", list: func(l *plist.List) {
		e := file("tool", "x\n")
		e.Op, e.Changed, e.Mode = plist.OpModify, plist.ChangedMode, fs.ModeSetuid|0o755
		add(l, e)
	}, status: 3, says: "/tool: runs with the rights"},
	{name: "a long attribute", list: func(l *plist.List) {
		l.Find("dir/bb").Xattrs = map[string]string{"user.x": strings.Repeat("x", 1<<20)}
	}, status: 3, says: "/dir/bb: has an extended attribute of 1048576 bytes"},
	{name: "an enormous attribute", list: func(l *plist.List) {
		l.Find("dir/bb").Xattrs = map[string]string{"user.x": strings.Repeat("x", 60<<20)}
	}, status: 125, says: "token too long"},
	{name: "a name of 256 bytes", list: func(l *plist.List) { add(l, file("z"+strings.Repeat("y", 255), "")) }, status: 3, says: "yyy: file name too long"},
	{name: "a path of 5000 bytes", list: func(l *plist.List) { add(l, file("z/"+strings.Repeat("y/", 2500)+"x", "")) }, status: 3, says: "y/x: file name too long"},
	{name: "a place of ours", list: func(l *plist.List) { add(l, file("var/lib/sandbox-install/lock", "")) }, status: 3, says: "/var/lib/sandbox-install/lock: is a place of sandbox-install's own"},
	{name: "a place of ours by a symlink", there: "mkdir -p var/lib; ln -s var/lib z", list: func(l *plist.List) { add(l, file("z/sandbox-install/lock", "")) }, status: 3, says: "/z/sandbox-install/lock: is a place of sandbox-install's own"},
	{name: "a name that speaks to a terminal", there: "echo x > \"$(printf '\\033[2J\\nx')\"", list: func(l *plist.List) { add(l, file("\x1b[2J\nx", "")) }, status: 3, says: "/\\033[2J\\012x: is there already, is different"},
	{name: "a package name that is a path", list: func(l *plist.List) { l.Name = "../../etc" }, status: 3, says: `package name "../../etc": is none`},
	{name: "a wrong digest", list: func(l *plist.List) { l.Find("dir/bb").Digest[0] ^= 1 }, status: 3, says: "/dir/bb: the content is not the one in the packing list"},
	{name: "a wrong digest of old lines", there: "mkdir dir; printf 'a\nb\n' > dir/bb", list: func(l *plist.List) {
		e := l.Find("dir/bb")
		e.Op, e.Changed = plist.OpModify, plist.ChangedContent
		e.Was = &plist.Was{Digest: plist.Digest{1}, Old: []plist.OldLines{{At: 0, Count: 1, Text: "a\n"}}}
	}, status: 3, says: "/dir/bb: the package's list tells old lines that were not there"},
	{name: "a size that lies", forge: [][2]string{{"size=3 ", "size=4 "}}, status: 3, says: "damaged: dir/bb: its header and the list do not agree in size"},
	{
		name: "a size that both lie", forge: [][2]string{{"size=3 ", "size=9 "}}, status: 3, says: "/dir/bb: ",
		heads: [][2]string{{"00000000003\x00", "00000000011\x00"}},
	},
	{
		name: "a file of exabytes", status: 3, says: "MiB of disk",
		forge: [][2]string{{"size=3 blake3=", "size=9223372036854775807 blake3="}},
	},
	{
		name: "thousands of files of exabytes", status: 3, says: "MiB of disk",
		list: func(l *plist.List) {
			for i := range 8192 { // of 2^51 blocks: a sum that overflows is small
				add(l, file(fmt.Sprintf("z/%05d", i), "1234567"))
			}
		},
		forge: [][2]string{{"size=7 blake3=", "size=9223372036854775807 blake3="}},
	},
	{name: "a negative size", forge: [][2]string{{"size=3 ", "size=-3 "}}, status: 125, says: `path "dir/bb"`},
	{name: "an archive that is cut", bytes: func(a []byte) []byte { return a[:len(a)-3000] }, status: 3, says: "unexpected EOF"},
	{name: "an archive without end", bytes: func(a []byte) []byte { return a[:len(a)-600] }, status: 3, says: "unexpected EOF"},
	{name: "an archive that is cut in the list", bytes: func(a []byte) []byte { return a[:700] }, status: 125, says: ".sandbox-install.plist: line 4: "},
	{name: "something after the end", bytes: func(a []byte) []byte { return append(a, "more"...) }, status: 3, says: "there is more after the end"},
	{name: "another archive after the end", bytes: func(a []byte) []byte { return append(a, a...) }, status: 3, says: "there is more after the end"},
	{name: "nothing", bytes: func([]byte) []byte { return nil }, status: 125, says: "not a tarball of sandbox-install"},
	{name: "no archive", bytes: func([]byte) []byte { return bytes.Repeat([]byte("noise"), 1000) }, status: 125, says: "not a tarball of sandbox-install"},
	{name: "zstd of nothing", bytes: func([]byte) []byte { return compressed(nil) }, status: 125, says: "not a tarball of sandbox-install"},
	{name: "zstd that is damaged", bytes: func(a []byte) []byte { c := compressed(a); c[len(c)-6] ^= 0xff; return c }, status: 125, says: "thing.tar: "},
	{
		name: "a list of millions out of nothing", status: 125, says: "the list is too large for so small an archive",
		bytes: func(a []byte) []byte {
			return swollen(a, []byte("./aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa op=delete type=dir\n"), 4<<20)
		},
	},
	{
		name: "a line of a gigabyte", status: 125, says: "too",
		bytes: func(a []byte) []byte { return swollen(a, bytes.Repeat([]byte("x"), 1<<10), 1<<20) },
	},
}

var sometime = time.Unix(1e9, 0)

// file is a regular file that is added.
func file(path, content string) plist.Entry {
	d, err := capture.Digest(strings.NewReader(content))
	if err != nil {
		panic(err)
	}
	return plist.Entry{Op: plist.OpAdd, Path: path, Mode: 0o644, ModTime: sometime, Size: int64(len(content)), Digest: d}
}

func add(l *plist.List, e plist.Entry) {
	l.Entries = append(l.Entries, e)
	l.Sort()
}

// goodList is what all are made of.
func goodList() *plist.List {
	hard := file("hard", "aaaa")
	hard.Link = "dir/aa"
	return &plist.List{Name: "thing", Version: "1", Prefix: "/", Entries: []plist.Entry{
		{Op: plist.OpAdd, Path: "dir", Mode: fs.ModeDir | 0o755, ModTime: sometime},
		file("dir/aa", "aaaa"), file("dir/bb", "a\nB"), hard,
		{Op: plist.OpAdd, Path: "link", Mode: fs.ModeSymlink | 0o777, ModTime: sometime, Link: "target"},
		file("new\nline", "aaaa"),
	}}
}

// sized is a tree whose files are as long as their entries say.
type sized struct{ *plist.List }

func (s sized) Open(path string) (plist.File, error) {
	text := strings.Repeat("1234567", 1)
	switch s.Find(path).Size {
	case 0:
		text = ""
	case 2:
		text = "x\n"
	case 3:
		text = "a\nB"
	case 4:
		text = "aaaa"
	}
	return struct {
		*strings.Reader
		fs.FS
		closer
	}{Reader: strings.NewReader(text)}, nil
}

type closer struct{}

func (closer) Close() error { return nil }

func (h *hostile) make(t *testing.T) []byte {
	t.Helper()
	l := goodList()
	if h.list != nil {
		h.list(l)
	}
	var b bytes.Buffer
	if err := tarball.Write(&b, l, sized{l}, tarball.Options{Compression: tarball.None}); err != nil {
		t.Fatal(err)
	}
	archive := b.Bytes()
	if h.forge != nil || h.heads != nil {
		archive = h.forged(t, archive)
	}
	if h.bytes != nil {
		archive = h.bytes(archive)
	}
	return archive
}

const block = 512

// forged changes texts in the list, whose length may change, and names in the headers
// of the other members.
func (h *hostile) forged(t *testing.T, archive []byte) []byte {
	t.Helper()
	size, err := strconv.ParseInt(strings.Trim(string(archive[124:135]), "\x00 "), 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	text := string(archive[block : block+size])
	rest := archive[(block+size+block-1)/block*block:]
	for _, f := range h.forge {
		if !strings.Contains(text, f[0]) {
			t.Fatalf("%q is not in the list\n%s", f[0], text)
		}
		text = strings.ReplaceAll(text, f[0], f[1])
	}
	head := bytes.Clone(archive[:block])
	copy(head[124:], fmt.Sprintf("%011o", len(text)))
	out := append(sum(head), text...)
	out = append(out, make([]byte, -len(text)&(block-1))...)
	for _, f := range h.heads {
		found := false
		for at := 0; at+block <= len(rest); at += block {
			if h := rest[at : at+block]; string(h[257:262]) == "ustar" && bytes.Contains(h, []byte(f[0])) {
				copy(h, bytes.ReplaceAll(h, []byte(f[0]), []byte(f[1])))
				sum(h)
				found = true
			}
		}
		if !found {
			t.Fatalf("%q is in no header", f[0])
		}
	}
	return append(out, rest...)
}

// sum puts the checksum of a header right (pax(1), ustar Header Block).
func sum(head []byte) []byte {
	copy(head[148:156], "        ")
	n := 0
	for _, c := range head {
		n += int(c)
	}
	copy(head[148:], fmt.Sprintf("%06o  ", n))
	return head
}

func compressed(archive []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(archive, nil)
}

// swollen is a compressed archive whose list goes on with a text many times over.
func swollen(archive, text []byte, times int) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		panic(err)
	}
	head := bytes.Clone(archive[:block])
	begin := archive[block : block+bytes.Index(archive[block:], []byte("\n./"))+1]
	copy(head[124:], fmt.Sprintf("%011o", len(begin)+len(text)*times))
	_, _ = z.Write(append(sum(head), begin...))
	many := bytes.Repeat(text, 1<<10)
	for range times >> 10 {
		_, _ = z.Write(many)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestHostile gives the program archives that are made to do harm: each is refused
// with the name of what is wrong, nothing is written in the root or beside it, and no
// memory is taken that the archive is not worth.
func TestHostile(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range append(hostiles, hostile{name: "none", status: 0}) {
		t.Run(h.name, func(t *testing.T) {
			if h.root {
				need.Root(t)
			}
			t.Parallel()
			dir := t.TempDir()
			root, name := filepath.Join(dir, "root"), filepath.Join(dir, "thing.tar")
			for _, err := range []error{os.Mkdir(root, 0o755), os.WriteFile(name, h.make(t), 0o600)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			shell(t, root, ":; "+h.there)
			before := shell(t, dir, listing)
			cmd := &exec.Cmd{Path: self, Args: append([]string{"sandbox-install", "unpack", "--root", root}, append(h.flags, name)...)}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != h.status || !strings.Contains(string(out), h.says) {
				t.Errorf("%v, want exit status %d and %q:\n%.2000s", err, h.status, h.says, out)
			}
			if after := shell(t, dir, listing); (after == before) != (h.status != 0) {
				t.Errorf("something was written:\n%s", after)
			}
			if took := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; took > 700 && !testing.Short() { // the race detector takes more
				t.Errorf("it took %d MiB", took)
			}
		})
	}
}

const listing = `find . -printf '%p %y %i %m %s %T+ %C+\n' | sort`

func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}
