package capturetest

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// scenes are all scenes, by what they are about.
var scenes = concat(plainScenes, changeScenes, linkScenes, metadataScenes, nameScenes, mixedScenes, callScenes, processScenes)

func concat(tables ...[]Scene) (all []Scene) {
	for _, t := range tables {
		all = append(all, t...)
	}
	return all
}

// plainScenes make and remove.
var plainScenes = []Scene{
	{
		Name: "nothing",
		Run:  []Verb{Read("/dev/null", "")},
	},
	{
		Name: "plain",
		Run:  []Verb{Mkdir("usr/bin"), Write("usr/bin/tool", "1"), Chmod("usr/bin/tool", 0o755), Symlink("tool", "usr/bin/alias"), Mkdir("usr/lib")},
	},
	{
		Name:   "install(1)",
		Before: []Verb{Mkdir("lib"), Write("lib/x.so.1.0", "old"), Symlink("x.so.1.0", "lib/x.so.1"), Write("src", "1")},
		Run:    []Verb{Shell("install -D src bin/x; install -m 644 src lib/x.so.1.1; ln -sf x.so.1.1 lib/x.so.1; rm lib/x.so.1.0; install -d share/x; cp -p src share/x")},
	},
	{
		Name:   "deletions",
		Before: []Verb{Mkdir("d/e"), Write("d/e/a", "1"), Write("b", "2"), Symlink("b", "l"), Mkfifo("p")},
		Run:    []Verb{RemoveAll("d"), Remove("b"), Remove("l"), Remove("p")},
	},
	{
		Name:   "made and removed",
		Before: []Verb{Mkdir("d")},
		Run:    []Verb{Mkdir("t/u"), Write("t/u/a", "1"), RemoveAll("t"), Write("d/a", "1"), Remove("d/a")},
	},
	{
		Name:   "removed and made again",
		Before: []Verb{Mkdir("d/e"), Write("d/a", "1"), Write("d/b", "1"), Write("d/e/c", "1")},
		Run:    []Verb{RemoveAll("d"), Mkdir("d"), Write("d/n", "1"), Write("d/b", "22")},
	},
	{
		Name:   "removed while read",
		Before: []Verb{Mkdir("d"), Many(200, func(i int) Verb { return Write(fmt.Sprint("d/old", i), "") })},
		Run:    []Verb{Many(200, func(i int) Verb { return Write(fmt.Sprint("d/new", i), "") }), Shell("find d -type f -delete; rmdir d")},
	},
	{
		Name:   "many files",
		Before: []Verb{Mkdir("d"), Many(500, func(i int) Verb { return Write(fmt.Sprint("d/", i), "1") })},
		Run: []Verb{
			Many(500, func(i int) Verb { return Write(fmt.Sprint("d/n", i), fmt.Sprint(i)) }),
			Many(250, func(i int) Verb { return Remove(fmt.Sprint("d/", 2*i)) }),
		},
	},
	{
		Name:   "fifos and devices",
		Before: []Verb{Mkfifo("old")},
		Run:    []Verb{Mkfifo("new"), Rename("old", "moved"), Mknod("null", 1, 3), Shell("mknod disk b 259 1048575"), Shell("echo >null; echo >/dev/null")},
	},
	{
		Name:   "the device 0/0",
		Run:    []Verb{Mknod("zero", 0, 0)},
		Except: map[string]string{"overlay": "the kernel's whiteouts are such devices, and it lets nobody make one", "fuse": "a union's whiteouts are such devices"},
	},
	{
		Name:   "sockets",
		Before: []Verb{Socket("gone")},
		Run:    []Verb{Socket("new"), Remove("gone")},
		Notes:  []plist.NoteKind{plist.NoteLost},
	},
	{
		Name: "sparse",
		Run:  []Verb{Write("a", "1"), Truncate("a", 3<<20), Append("a", "2"), Write("b", ""), Truncate("b", 1<<20)},
	},
	{
		Name:      "a file that is a mount",
		FileMount: [2]string{"hosts", "etc/hosts"},
		Before:    []Verb{Mkdir("etc"), Write("hosts", "1"), Write("etc/hosts", "below"), Write("etc/other", "1")},
		Run:       []Verb{Append("etc/hosts", "2"), Write("etc/other", "2")},
		Except:    map[string]string{"redirect": "a file that is mounted elsewhere, too, has two places that part at its first change", "rootless": "the two names of a mounted file are one file in the mirror, and part as hard links do", "fuse, user": "what is mounted twice is one thing inside, and listed by one of its names"},
	},
	{
		Name:   "another file system",
		Shelf:  "boot",
		Before: []Verb{Write("boot/old", "1"), Write("boot/gone", "1")},
		Run:    []Verb{Write("boot/old", "22"), Write("boot/new", "1"), Remove("boot/gone"), Chmod("boot", 0o700), Write("a", "1"), Shell("mv boot/new moved; mkdir boot/d; mv boot/d d")},
	},
}

// changeScenes change what is there.
var changeScenes = []Scene{
	{
		Name:   "contents",
		Before: []Verb{Write("a", "1"), Write("b", "1"), Write("c", "123"), Write("d", "123")},
		Run:    []Verb{Write("a", "2"), Append("b", "2"), Truncate("c", 1), Overwrite("d", "4")},
	},
	{
		Name:   "the same size and time",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{Same("a", Write("a", "2"))},
	},
	{
		Name:   "the same bytes",
		Before: []Verb{Write("a", "1"), Write("b", "1")},
		Run:    []Verb{Write("a", "1"), Same("b", Write("b", "1"))},
	},
	{
		Name:   "only opened",
		Before: []Verb{Write("a", "1"), Mkdir("d"), Write("d/b", "1")},
		Run:    []Verb{Open("a"), Shell("find . -type f -exec cat {} + >/dev/null; mkdir d 2>/dev/null || :")},
	},
	{
		Name:   "read back",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{Append("a", "2"), Read("a", "12"), Rename("a", "b"), Read("b", "12"), Shell("cp /bin/true t; ./t")},
	},
	{
		Name:   "atomic replacement",
		Before: []Verb{Write("a", "1"), Write("b", "1"), Write("c", "1")},
		Run:    []Verb{Write("a.new", "2"), Rename("a.new", "a"), Shell("sed -i s/1/3/ b; ln c c-old; echo 2 >c-new; mv -f c-new c")},
	},
	{
		Name:   "renamed over a removed name",
		Before: []Verb{Write("a", "1"), Write("b", "2")},
		Run:    []Verb{Remove("b"), Rename2("a", "b", unix.RENAME_NOREPLACE)},
	},
	{
		Name:   "files exchanged",
		Before: []Verb{Write("a", "1"), Write("b", "22"), Write("c", "1"), Write("d", "1")},
		Run:    []Verb{Rename2("a", "b", unix.RENAME_EXCHANGE), Rename2("c", "d", unix.RENAME_EXCHANGE)},
	},
	{
		Name:   "directories exchanged",
		Before: []Verb{Mkdir("a"), Mkdir("b"), Write("a/v", "1"), Write("b/v", "2"), Write("a/same", "1"), Write("b/same", "1"), Write("b/only", "1")},
		Run:    []Verb{Rename2("a", "b", unix.RENAME_EXCHANGE)},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "a directory renamed",
		Before: []Verb{Mkdir("old/sub"), Write("old/a", "1"), Write("old/sub/b", "1")},
		Run:    []Verb{Rename("old", "new"), Append("new/a", "2"), Write("new/sub/c", "1"), Remove("new/sub/b")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "a directory there and back",
		Before: []Verb{Mkdir("a"), Write("a/b", "1"), Link("a/b", "c")},
		Run:    []Verb{Rename("a", "b"), Rename("b", "a")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "renamed into each other",
		Before: []Verb{Mkdir("a/s"), Mkdir("b/s"), Write("a/s/x", "1"), Write("b/s/y", "2")},
		Run:    []Verb{Rename("a/s", "b/t"), Rename("b", "c"), Rename("a", "c/s/a")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "types",
		Before: []Verb{Write("file", "1"), Mkdir("dir/sub"), Write("dir/sub/a", "1"), Symlink("file", "link"), Symlink("file", "moved"), Mkfifo("fifo")},
		Run: []Verb{
			Remove("file"), Mkdir("file"), Write("file/a", "1"), RemoveAll("dir"), Symlink("file", "dir"),
			Remove("link"), Mkdir("link"), Remove("moved"), Symlink("link", "moved"), Remove("fifo"), Write("fifo", "1"),
		},
	},
	{
		Name:   "through symlinks",
		Before: []Verb{Mkdir("v1"), Symlink("v1", "cur"), Write("target", "1"), Symlink("target", "link"), Symlink("made", "dangling")},
		Run:    []Verb{Write("cur/new", "1"), Write("link", "2"), Write("dangling", "1"), Symlink("/nonexistent", "abs")},
	},
	{
		Name:   "usrmerge",
		Before: []Verb{Mkdir("bin"), Mkdir("usr/bin"), Write("bin/sh", "1")},
		Run:    []Verb{Rename("bin/sh", "usr/bin/sh"), Remove("bin"), Symlink("usr/bin", "bin")},
	},
}

// linkScenes have files with several names.
var linkScenes = []Scene{
	{
		Name: "new hard links",
		Run:  []Verb{Write("b", "1"), Link("b", "a"), Mkdir("d"), Link("a", "d/c")},
	},
	{
		Name:   "one name written",
		Before: []Verb{Write("a", "1"), Link("a", "b"), Mkdir("d"), Link("a", "d/c")},
		Run:    []Verb{Append("b", "2")},
		Except: map[string]string{"redirect": noIndex, "rootless": noIndex},
	},
	{
		Name:   "one name removed",
		Before: []Verb{Write("a", "1"), Link("a", "b"), Link("a", "c")},
		Run:    []Verb{Remove("b")},
	},
	{
		Name:   "one name renamed and written",
		Before: []Verb{Mkdir("d"), Write("d/a", "1"), Link("d/a", "b")},
		Run:    []Verb{Rename("d", "e"), Append("e/a", "2")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "one name replaced",
		Before: []Verb{Write("a", "1"), Link("a", "b"), Write("x", "1"), Link("x", "y")},
		Run:    []Verb{Write("t", "2"), Rename("t", "a"), Shell("cp -p x t; mv t x")},
		Unsure: map[string]plist.NoteKind{"rootless": plist.NoteLost},
	},
	{
		Name:   "a name for what was there",
		Before: []Verb{Write("a", "1"), Write("x", "1"), Link("x", "y"), Symlink("a", "l")},
		Run:    []Verb{Link("a", "b"), Link("x", "z"), Link("l", "m")},
		Except: map[string]string{"redirect": noIndex, "rootless": noIndex},
	},
	{
		Name:   "one of three names renamed and written",
		Before: []Verb{Write("a", "1"), Link("a", "b"), Link("a", "c")},
		Run:    []Verb{Rename("b", "d"), Append("d", "2")},
		Except: map[string]string{"redirect": noIndex, "rootless": noIndex},
	},
	{
		Name:   "a new name, and the old one gone",
		Before: []Verb{Write("a", "1"), Write("x", "1"), Link("x", "y")},
		Run:    []Verb{Link("a", "b"), Remove("a"), Remove("x"), Remove("y"), Write("x", "1"), Link("x", "y")},
	},
	{
		Name:   "linked over another",
		Before: []Verb{Write("a", "1"), Write("b", "1")},
		Run:    []Verb{Shell("ln -f a b")},
	},
	{
		Name:   "metadata through one name",
		Before: []Verb{Write("a", "1"), Link("a", "b"), Mkfifo("p"), Link("p", "q")},
		Run:    []Verb{Chmod("b", 0o600), Chown("p", 1, 1)},
		Except: map[string]string{"redirect": noIndex, "rootless": noIndex},
	},
}

// metadataScenes change all but the content.
var metadataScenes = []Scene{
	{
		Name:   "modes",
		Before: []Verb{Write("a", "1"), Mkdir("d"), Mkdir("back"), Write("c", "1")},
		Run:    []Verb{Chmod("a", 0o600), Chmod("d", 0o1777), Chmod("back", 0o700), Chmod("back", 0o755), Chmod("c", 0o700), Chmod("c", 0o644)},
	},
	{
		Name:   "owners",
		Before: []Verb{Write("a", "1"), Mkdir("d"), Symlink("x", "l"), Write("theirs", "1"), Chown("theirs", 3000000, 3000000), Write("too", "1"), Chown("too", 3000000, 3000001)},
		Run: []Verb{
			Chown("a", 1, 2), Chown("d", 3000000, 0), Chown("l", 0, 5), Chown("theirs", 0, 0), Chmod("too", 0o600),
			Write("b", "1"), Chown("b", 3000000, 3000000), Chown("b", 0, 0),
			Write("c", "1"), Chown("c", 3000000, 3000001), Chown("c", 7, -1), Chown("c", -1, 3000002),
			Symlink("x", "m"), Chown("m", 3000000, 3000000), Chown("m", 0, -1),
		},
	},
	{
		Name:   "set-id",
		Before: []Verb{Write("c", "1"), Chmod("c", 0o6755)},
		Run:    []Verb{Write("a", "1"), Chmod("a", 0o4755), Mkdir("d"), Chown("d", 0, 5), Chmod("d", 0o2775), Write("d/inherits", "1"), Mkdir("d/too"), Chown("c", 1, 1)},
		Except: map[string]string{"rootless, one id": noInherit, "fuse, user, one id": noInherit},
	},
	{
		Name:   "set-id programs written by root", // who keeps the bits, unlike anybody else
		Before: []Verb{Write("a", "1"), Chmod("a", 0o6755), Write("b", "1"), Chmod("b", 0o4755), Write("c", "1"), Chmod("c", 0o2755)},
		Run: []Verb{
			Write("a", "2"), Append("b", "2"), Truncate("c", 5),
			Write("n", "1"), Chmod("n", 0o4755), Append("n", "2"), Write("m", "1"), Chmod("m", 0o4755), Chown("m", 0, 5), Append("m", "2"),
		},
		Except: map[string]string{"redirect": noSetID, "rootless": noSetID},
	},
	{
		Name:   "set-id programs written by another user",
		Before: []Verb{Shell("for f in a b c; do echo 1 >$f; done; chmod 6777 a; chmod 6777 b; chmod 2666 c")},
		Run:    []Verb{As(65534, 65534, "echo 2 >>a; : >b; echo 2 >>c")},
		Unsure: map[string]plist.NoteKind{"rootless": plist.NoteLost},
		Except: map[string]string{"redirect": noOthers, "rootless, one id": noOthers, "fuse, user, one id": noOthers},
	},
	{
		Name:   "times",
		Before: []Verb{Write("a", "1"), Mkdir("d"), Symlink("x", "l")},
		Run: []Verb{
			Touch("a", time.Unix(5, 5)), Touch("d", time.Unix(5, 5)), Touch("l", time.Unix(7, 7)),
			Write("early", "1"), Touch("early", time.Unix(-300_000_000, 250_000_000)), Write("late", "1"), Touch("late", time.Unix(4_102_444_800, 1)),
		},
	},
	{
		Name:   "extended attributes",
		Before: []Verb{Write("a", "1"), Setxattr("a", "user.old", "1"), Setxattr("a", "user.kept", "1"), Mkdir("d"), Symlink("x", "l")},
		Run: []Verb{
			Setxattr("a", "user.new", "\x00\xff\n"), Removexattr("a", "user.old"), Setxattr("d", "user.d", strings.Repeat("x", 2000)), Setxattr("l", "trusted.l", ""),
			Write("b", "1"), Setxattr("b", "user.=%", "1"), Setxattr("b", "security.unknown", "1"),
		},
		Except: map[string]string{"rootless": noTrusted, "fuse, user": noTrusted},
	},
	{
		Name:   "attributes of what is no file",
		Before: []Verb{Symlink("x", "l"), Mknod("null", 1, 3), Mkfifo("p")},
		Run:    []Verb{Setxattr("l", "security.l", "1"), Setxattr("null", "trusted.n", "2"), Setxattr("p", "trusted.p", "3")},
		Except: map[string]string{"rootless": noTrusted, "fuse, user": noTrusted},
	},
	{
		// Somebody else's overlays may have their layers here.
		Name:   "attributes of overlays",
		Before: []Verb{Mkdir("d"), Write("a", "1"), Setxattr("d", "trusted.overlay.x", "1"), Setxattr("a", "trusted.overlay.overlay.x", "2")},
		Run:    []Verb{Mkdir("e"), Setxattr("e", "trusted.overlay.opaque", "y"), Setxattr("d", "user.overlay.x", "1"), Chmod("d", 0o700), Chmod("a", 0o600)},
		Except: map[string]string{"rootless": noTrusted, "fuse, user": noTrusted},
	},
	{
		Name:   "capabilities",
		Needs:  "setcap",
		Before: []Verb{Shell("cp /bin/true a; cp /bin/true c; setcap cap_net_raw+ep a; setcap cap_net_raw+ep c")},
		Run:    []Verb{Shell("setcap -r a; cp /bin/true b; setcap cap_chown,cap_kill+ei b"), Append("c", "1")},
	},
	{
		Name:   "privileges of what is written through memory", // they stay, unlike those of what write(2) writes
		Needs:  "setcap",
		Before: []Verb{Shell("cp /bin/true a; setcap cap_net_raw+ep a; chmod 6755 a")},
		Run:    []Verb{mapped("a", "abc")},
	},
	{
		Name:   "access control lists",
		Needs:  "setfacl",
		Before: []Verb{Shell("touch a b; setfacl -m u:1234:rw a")},
		Run:    []Verb{Shell("setfacl -b a; setfacl -m g:5:r b; mkdir d; setfacl -m d:u:7:rwx,u:8:rx d; touch d/inherits; mkdir d/too")},
		Except: map[string]string{"rootless, one id": noOthers, "fuse, user, one id": noOthers},
	},
	{
		Name:   "inode flags",
		Needs:  "chattr",
		Before: []Verb{Shell("touch a b; chattr +d a; chattr +A b")},
		Run:    []Verb{Chmod("a", 0o600), Shell("chattr -A b; touch c; chattr +dA c; chattr +S a; mkdir d; chattr +A d; touch d/inherits")},
	},
	{
		Name: "umask",
		Run:  []Verb{Umask(0o77), Mkdir("a"), Write("a/f", "1"), Umask(0), Shell("mkdir b; : >b/g")},
	},
}

// nameScenes have names that go wrong where they are taken for text, options,
// patterns or somebody's own.
var nameScenes = []Scene{
	{
		Name:   "odd names",
		Before: []Verb{Write("old\nname", "1")},
		Run: []Verb{Remove("old\nname"), each([]string{
			" lead", "trail ", "a b", "tab\t", "new\nline", "-rf", `back\slash`, "q'uote", `d"quote`, "semi;colon", "#hash", "$HOME", "%D", "@cwd", "@exec x",
			"*", "?", "[ab]", "{x,y}", "~", "!", "=", "...", ".hidden", "é", "e\u0301", "\xff\xfe", "\x01\x7f", "README", "readme",
			".wh.x", ".wh..wh..opq", "user.overlay.opaque", strings.Repeat("n", 255),
		})},
	},
	{
		Name:   "removed odd names",
		Before: []Verb{Mkdir(".wh.d"), Write(".wh.d/.wh.a", "1"), Write("\xff", "1"), Write(strings.Repeat("n", 255), "1")},
		Run:    []Verb{RemoveAll(".wh.d"), Remove("\xff"), Remove(strings.Repeat("n", 255))},
	},
	{
		Name: "order",
		Run:  []Verb{Mkdir("a"), Mkdir("a-"), Mkdir("a.b"), Write("a/x", "1"), Write("a-/x", "1"), Write("a0", "1"), Write("a b", "1"), Mkdir("a/x-")},
	},
}

// each writes a file of every name.
func each(names []string) Verb {
	return Many(len(names), func(i int) Verb { return Write(names[i], "1") })
}
