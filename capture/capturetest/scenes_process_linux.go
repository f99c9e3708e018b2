package capturetest

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// callScenes change files by other calls than open(2) and write(2).
var callScenes = []Scene{
	{
		Name:   "openat2",
		Before: []Verb{Write("old", "1")},
		Run:    []Verb{openat2("new", "1"), openat2("old", "22")},
	},
	{
		Name:   "reopened through /proc",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{reopen("a", "22")},
	},
	{
		Name:   "opened by file handle",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{byHandle("a", "22")},
		Except: map[string]string{"overlay": "the kernel gives handles on an overlay only with nfs_export, which excludes what renames need"},
	},
	{
		Name:   "relative to a renamed directory",
		Before: []Verb{Mkdir("top/d"), Write("top/d/old", "1")},
		Run:    []Verb{inDir("top/d", "moved")},
	},
	{
		Name: "files without a name at first",
		Run:  []Verb{Mkdir("d"), tmpfile("d/a", true), tmpfile("d/b", false)},
	},
	{
		Name:   "files without a name at last",
		Before: []Verb{Write("old", "1")},
		Run:    []Verb{unlinked("new"), unlinked("old")},
	},
	{
		Name:   "memory",
		Before: []Verb{Write("a", "1234567")},
		Run:    []Verb{mapped("a", "abc")},
	},
	{
		Name:   "a mapping made before the first write",
		Before: []Verb{Write("a", "1234567")},
		Run:    []Verb{mappedBefore("a", "abc")},
		Except: map[string]string{"overlay": "a shared mapping made before copy-up stays what it was (overlayfs.rst)"},
	},
	{
		Name:   "copied by the kernel",
		Before: []Verb{Write("a", "some text")},
		Run:    []Verb{copied("a", [3]string{"b", "c", "d"})},
	},
	{
		Name:   "allocated and punched",
		Before: []Verb{Write("a", "1"), Shell("head -c 10000 /dev/zero | tr '\\0' x >b")},
		Run:    []Verb{holes("a", "b")},
	},
	{
		Name:   "metadata by descriptor",
		Before: []Verb{Write("a", "1"), Mkdir("d")},
		Run:    []Verb{byDescriptor("a"), byDescriptor("d")},
	},
	{
		Name:   "metadata by new calls",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{newCalls("a")},
	},
	{
		Name:   "what is open while it is written",
		Before: []Verb{Write("a", "1"), Write("b", "1"), Write("c", "1")},
		Run:    []Verb{stale("a", "22"), locked("b"), steady("c")},
	},
	{
		Name:   "a fifo between processes",
		Before: []Verb{Mkfifo("p")},
		Run:    []Verb{Same("p", rendezvous("p", "word"))},
	},
	{
		Name: "many writers at once",
		Run: []Verb{
			atOnce(8, func(i int) Verb {
				return Many(25, func(j int) Verb { return Write(fmt.Sprintf("%d.%d", i, j), "1") })
			}),
		},
	},
}

// processScenes are about who writes, and how it ends.
var processScenes = []Scene{
	{
		Name: "fails midway",
		Run:  []Verb{Write("a", "1"), Exit(3), Write("b", "1")},
	},
	{
		Name: "killed midway",
		Run:  []Verb{Write("a", "1"), Kill(syscall.SIGKILL), Write("b", "1")},
	},
	{
		Name: "a daemon",
		Run:  []Verb{Shell("setsid sh -c 'sleep 0.3; echo 1 >late' >/dev/null 2>&1 & echo 1 >early")},
	},
	{
		Name:  "left running",
		Run:   []Verb{Write("a", "1"), Shell("setsid sleep 5 >/dev/null 2>&1 &")},
		Notes: []plist.NoteKind{plist.NoteOutlived},
	},
	{
		Name: "no environment",
		Run:  []Verb{Shell("env -i /bin/sh -c 'echo 1 >a'")},
	},
	{
		Name: "no descriptors",
		Run:  []Verb{withoutDescriptors("a")},
	},
	{
		Name: "an inherited descriptor",
		Run:  []Verb{Shell("exec 4>a; sh -c 'echo 1 >&4'")},
	},
	{
		Name: "traced",
		Run:  []Verb{Traced("echo 1 >a; mkdir d; mv a d")},
	},
	{
		Name: "no new privileges",
		Run:  []Verb{NoNewPrivileges, Shell("echo 1 >a")},
	},
	{
		Name:   "another user",
		Before: []Verb{Mkdir("d"), Chmod("d", 0o777), Mkdir("closed"), Chmod("closed", 0o700)},
		Run:    []Verb{As(65534, 65534, "echo 1 >d/a; ! echo 1 2>/dev/null >closed/a")},
	},
	{
		Name:   "a set-id program",
		Before: []Verb{Shell("cp /usr/bin/touch t; chmod 4755 t"), Mkdir("d")},
		Run:    []Verb{As(65534, 65534, "./t d/a; ./t t")},
	},
	{
		Name: "chroot",
		Run:  []Verb{Mkdir("jail"), Chroot("jail"), Write("/made", "1")},
	},
	{
		Name:   "mounts of its own",
		Before: []Verb{Mkdir("a"), Mkdir("b"), Mkdir("c")},
		Run:    []Verb{Unshare, Mount("a", "b", "", unix.MS_BIND), Write("b/f", "1"), Mount("tmpfs", "c", "tmpfs", 0), Write("c/f", "1")},
	},
	{
		Name: "the network",
		Run:  []Verb{download("a")},
	},
	{
		Name: "tar(1)",
		Run: []Verb{
			Shell("mkdir in; echo 1 >in/a; chmod 4755 in/a; ln in/a in/b; ln -s a in/l; chown -h 1:1 in/l; mkfifo in/p; mkdir out; tar -C in -c . | tar -C out -x; rm -r in"),
		},
	},
	{
		Name:   "SQLite",
		Needs:  "python3",
		Before: []Verb{Shell(`python3 -c "import sqlite3; sqlite3.connect('db').execute('pragma journal_mode=wal')"`)},
		Run:    []Verb{Shell(`python3 -c "import sqlite3; c = sqlite3.connect('db'); c.execute('create table t(a)'); c.commit()"`)},
	},
	{
		Name:   "byte code",
		Needs:  "python3",
		Before: []Verb{Mkdir("lib"), Write("lib/m.py", "pass\n")},
		Run:    []Verb{Shell("python3 -m compileall -q lib")},
	},
}
