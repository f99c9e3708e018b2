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
		Except: map[string]string{
			"redirect":   noHandles,
			"overlay":    "the kernel gives handles on an overlay only with nfs_export, which excludes what renames need",
			"rootless":   noHandles,
			"fuse, user": noHandles,
			"seccomp":    "it is refused, as to everybody without CAP_DAC_READ_SEARCH",
		},
	},
	{
		Name:   "relative to a renamed directory",
		Before: []Verb{Mkdir("top/d"), Write("top/d/old", "1")},
		Run:    []Verb{inDir("top/d", "moved")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
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
		Except: map[string]string{"redirect": "what was open before the first change stays what it was", "rootless": "a shared mapping made before copy-up stays what it was (overlayfs.rst)", "overlay": "a shared mapping made before copy-up stays what it was (overlayfs.rst)"},
	},
	{
		Name:   "copied by the kernel",
		Before: []Verb{Write("a", "some text")},
		Run:    []Verb{copied("a", [3]string{"b", "c", "d"})},
		Except: map[string]string{"rootless": "copy_file_range(2) fails with EXDEV from what was there to what is new: they are on two file systems"},
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
		Except: map[string]string{"redirect": "setxattrat(2) is refused, as by kernels before 6.13"},
	},
	{
		Name:   "what is open while it is written",
		Before: []Verb{Write("a", "1"), Write("b", "1"), Write("c", "1")},
		Run:    []Verb{stale("a", "22"), locked("b"), steady("c")},
		Except: map[string]string{"redirect": "what was open before the first change stays what it was"},
	},
	{
		Name: "read without an access time",
		Run:  []Verb{Write("a", "1"), quiet("a")},
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
		Run:  []Verb{Shell("exec <&- >&- 2>&-; echo 1 >a")}, // not by Go, whose own are closed then, too
	},
	{
		Name: "an inherited descriptor",
		Run:  []Verb{Shell("exec 4>a; sh -c 'echo 1 >&4'")},
	},
	{
		Name:   "traced",
		Run:    []Verb{Traced("echo 1 >a; mkdir d; mv a d")},
		Except: map[string]string{"redirect": "a command that is traced already can be traced by nobody else"},
	},
	{
		Name: "no new privileges",
		Run:  []Verb{NoNewPrivileges, Shell("echo 1 >a")},
	},
	{
		Name:   "another user",
		Before: []Verb{Mkdir("d"), Chmod("d", 0o777), Mkdir("closed"), Chmod("closed", 0o700)},
		Run:    []Verb{As(65534, 65534, "echo 1 >d/a; ! echo 1 2>/dev/null >closed/a")},
		Except: map[string]string{"redirect": noOthers, "rootless, one id": noOthers, "fuse, user, one id": noOthers},
	},
	{
		Name:   "a set-id program",
		Before: []Verb{Shell("cp /usr/bin/touch t; chmod 4755 t"), Mkdir("d")},
		Run:    []Verb{As(65534, 65534, "./t d/a; ./t t")},
		Except: map[string]string{"redirect": noOthers, "rootless, one id": noOthers, "fuse, user, one id": noOthers},
	},
	{
		Name:   "chroot",
		Run:    []Verb{Mkdir("jail"), Chroot("jail"), Write("/made", "1")},
		Except: map[string]string{"redirect": "chroot(2) is refused, as to everybody without CAP_SYS_CHROOT"},
	},
	{
		Name:   "mounts of its own",
		Except: map[string]string{"redirect": "mounts are refused, as to everybody without CAP_SYS_ADMIN", "seccomp": "mounts are refused, as to everybody without CAP_SYS_ADMIN"},
		Before: []Verb{Mkdir("a"), Mkdir("b"), Mkdir("c")},
		Run:    []Verb{Unshare, Mount("a", "b", "", unix.MS_BIND), Write("b/f", "1"), Mount("tmpfs", "c", "tmpfs", 0), Write("c/f", "1")},
	},
	{
		Name: "the network",
		Run:  []Verb{download("a")},
	},
	{
		Name:  "a terminal",
		Needs: "script",
		Run:   []Verb{Shell("script -qec 'tty >/dev/null && echo 1 >a' /dev/null </dev/null >/dev/null")},
	},
	{
		Name: "tar(1)",
		Run: []Verb{
			Shell("mkdir in; echo 1 >in/a; chmod 4755 in/a; ln in/a in/b; ln -s a in/l; chown -h 1:1 in/l; mkfifo in/p; mkdir out; tar -C in -c . | tar -C out -x; rm -r in"),
		},
		Except: map[string]string{"rootless, one id": noOwner, "fuse, user, one id": noOwner},
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
	{
		Name:  "descriptors handed over",
		Needs: "python3",
		Run: []Verb{Shell(`python3 -c '
import os, socket
a, b = socket.socketpair()
if os.fork():
    fd = socket.recv_fds(b, 1, 1)[1][0]
    os.write(fd, b"by another")
    os.wait()
else:
    socket.send_fds(a, [b"x"], [os.open("a", os.O_WRONLY | os.O_CREAT)])
    os._exit(0)
os.posix_spawn("/bin/echo", ["echo", "1"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "b", os.O_WRONLY | os.O_CREAT, 0o600)])
os.wait()'`)},
	},
	{
		Name: "a preloaded library",
		Run:  []Verb{Shell("LD_PRELOAD=libm.so.6 sh -c 'echo 1 >a; mv a b'")},
	},
	{
		Name: "signals and no terminal",
		Run:  []Verb{Shell(`trap 'echo 1 >got' USR1; kill -USR1 $$; setsid sh -c 'trap "echo 2 >last; exit 0" TERM; kill -TERM $$; sleep 5'`)},
	},
	{
		Name:   "a busy program",
		Before: []Verb{Shell("cp /bin/sleep old")},
		Run: []Verb{Shell(`cp /bin/sleep new
			for f in old new; do
				./$f 60 & p=$!
				until [ /proc/$p/exe -ef $f ]; do sleep 0.01; done
				! { echo 1 >$f; } 2>/dev/null; cp /bin/true $f.tmp; mv $f.tmp $f; kill $p; wait $p || :
			done`)},
	},
	{
		Name:   "opened before chroot",
		Before: []Verb{Mkdir("jail"), Write("old", "1"), Mkdir("d")},
		Run:    []Verb{aroundChroot("jail", "old", "d")},
		Except: map[string]string{"redirect": "chroot(2) is refused, as to everybody without CAP_SYS_CHROOT"},
	},
	{
		Name:   "namespaces of its own",
		Before: []Verb{Mkdir("d"), Mkdir("e"), Write("d/x", "1")},
		Run: []Verb{Shell(`unshare -m sh -ec 'mount -n --bind d e; echo 2 >e/x; mount -n -t tmpfs t e; echo 1 >e/lost; umount -n e; echo 1 >e/y'
			unshare -Urm sh -ec 'mount -n -t tmpfs t d; echo 1 >d/lost; echo 1 >z; mkdir m; chmod 700 m'`)},
		Except: map[string]string{"redirect": "mounts are refused, as to everybody without CAP_SYS_ADMIN", "seccomp": "mounts are refused, as to everybody without CAP_SYS_ADMIN"},
	},
	{
		Name: "late and orphaned",
		Run:  []Verb{Shell("(setsid sh -c '(sleep 0.3; mkdir late; echo 1 >late/a; mv late later) &' >/dev/null 2>&1 &) ; echo 1 >early")},
	},
}
