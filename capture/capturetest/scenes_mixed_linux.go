package capturetest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mixedScenes do several things to one place, in an order that hides some of them
// from who looks at each alone.
var mixedScenes = []Scene{
	{
		Name:   "links, a rename and metadata",
		Before: []Verb{Mkdir("d/e"), Write("d/a", "1"), Link("d/a", "d/e/b"), Link("d/a", "c"), Write("d/x", "1"), Link("d/x", "y")},
		Run: []Verb{
			Rename("d", "n"), Chmod("n/e/b", 0o600), Setxattr("c", "user.x", "1"), Rename("n/a", "n/e/z"),
			Link("c", "n/new"), Remove("c"), Link("n/x", "n/e/x"), Rename("y", "n/y"),
		},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "a rename of another name of what was changed",
		Before: []Verb{Mkdir("d"), Mkdir("e"), Mkdir("f"), Write("d/a", "1"), Link("d/a", "e/b"), Link("d/a", "f/c"), Write("x", "1")},
		Run:    []Verb{Append("d/a", "2"), Rename("e/b", "e/z"), Rename2("f/c", "x", unix.RENAME_EXCHANGE)},
		Except: map[string]string{"rootless": noIndex, "redirect": noIndex},
	},
	{
		Name:   "a directory in the place of another",
		Before: []Verb{Mkdir("d/b"), Write("d/a", "1"), Write("d/b/c", "1"), Mkdir("e/b"), Write("e/a", "1"), Write("e/only", "1")},
		Run:    []Verb{RemoveAll("d"), Rename("e", "d"), Mkdir("e"), Write("e/b", "2"), Write("d/b/c", "1")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name: "replaced below a renamed directory",
		Before: []Verb{
			Mkdir("top/mid/low"), Write("top/mid/low/old", "1"), Write("top/mid/x", "1"), Mkdir("top/side"), Write("top/side/s", "1"),
		},
		Run: []Verb{
			RemoveAll("top/mid/low"), Mkdir("top/mid/low"), Write("top/mid/low/new", "1"), Rename("top", "up"),
			RemoveAll("up/side"), Mkdir("up/side"), Write("up/side/s", "1"), Rename("up/mid", "up/other"), Rename("up/other/low", "low"),
		},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "moved aside and partly back",
		Before: []Verb{Mkdir("a/s"), Write("a/x", "1"), Write("a/y", "1"), Write("a/s/z", "1")},
		Run:    []Verb{Rename("a", "b"), Mkdir("a"), Rename("b/x", "a/x"), Rename("b/s", "a/s"), Append("b/y", "2")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "renamed over empty directories",
		Before: []Verb{Mkdir("a"), Write("a/x", "1"), Mkdir("b"), Mkdir("c"), Write("c/y", "1"), Mkdir("d"), Write("d/z", "1"), Mkdir("e"), Write("e/w", "1")},
		Run:    []Verb{Rename("a", "b"), Remove("c/y"), Rename("d", "c"), Mkdir("n"), Write("n/f", "1"), Remove("e/w"), Rename("n", "e")},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "exchanged with another type",
		Before: []Verb{Mkdir("d"), Write("d/x", "1"), Write("f", "1"), Symlink("f", "l"), Mkdir("e"), Write("e/y", "1")},
		Run: []Verb{
			Rename2("d", "f", unix.RENAME_EXCHANGE), Rename2("l", "e", unix.RENAME_EXCHANGE),
			Mkdir("new"), Write("new/n", "1"), Rename2("new", "d", unix.RENAME_EXCHANGE),
		},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "exchanged twice",
		Before: []Verb{Mkdir("a"), Write("a/x", "1"), Mkdir("b"), Write("b/y", "1"), Write("f", "1"), Write("g", "2")},
		Run: []Verb{
			Rename2("a", "b", unix.RENAME_EXCHANGE), Rename2("a", "b", unix.RENAME_EXCHANGE),
			Rename2("f", "g", unix.RENAME_EXCHANGE), Rename2("f", "g", unix.RENAME_EXCHANGE),
		},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "a rename that leaves a whiteout",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{Rename2("a", "b", unix.RENAME_WHITEOUT)},
		Except: map[string]string{"redirect": "RENAME_WHITEOUT is refused, as on an overlay", "rootless": "the kernel refuses RENAME_WHITEOUT on an overlay", "overlay": "the kernel refuses RENAME_WHITEOUT on an overlay", "fuse": "a union refuses RENAME_WHITEOUT as an overlay does"},
	},
	{
		Name:   "into something new, and that removed",
		Before: []Verb{Mkdir("old/s"), Write("old/s/a", "1"), Write("kept", "1"), Mkdir("d"), Write("d/a", "1")},
		Run: []Verb{
			Mkdir("new"), Rename("old", "new/old"), Rename("kept", "new/kept"), Rename("d", "new/d"), Rename("new/kept", "kept"),
			RemoveAll("new/old"), Rename("new/d", "d"), Remove("new"),
		},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "names handed on",
		Before: []Verb{Write("a", "1"), Write("b", "2"), Write("c", "3"), Symlink("a", "l")},
		Run:    []Verb{Rename("c", "d"), Rename("b", "c"), Rename("a", "b"), Write("a", "4"), Rename("l", "m"), Symlink("b", "l")},
	},
	{
		Name:   "changed and restored",
		Before: []Verb{Write("a", "1"), Write("b", "1"), Symlink("a", "l"), Mkdir("d"), Write("d/x", "1"), Chmod("d", 0o750)},
		Run: []Verb{
			Shell("cp -p a t; echo 2 >a; mv t a; cp -p b t; rm b; mv t b"), Remove("l"), Symlink("a", "l"), Touch("l", old),
			Shell("cp -a d t; rm -r d; mv t d"), Chmod("d", 0o700), Chmod("d", 0o750),
		},
		Except: map[string]string{"rootless": noClosed, "fuse, user": noClosed},
	},
	{
		Name:   "from type to type and back",
		Before: []Verb{Write("f", "1"), Mkdir("d"), Write("d/x", "1"), Symlink("d", "l")},
		Run: []Verb{
			Remove("f"), Mkdir("f"), Remove("f"), Symlink("x", "f"), Remove("f"), Write("f", "1"), Touch("f", old),
			RemoveAll("d"), Write("d", "1"), Remove("d"), Mkdir("d"), Write("d/x", "1"), Touch("d/x", old), Remove("l"), Mkdir("l"), Write("l/n", "1"),
		},
	},
	{
		Name:   "what dpkg does",
		Before: []Verb{Mkdir("bin"), Write("bin/x", "1"), Write("conf", "1"), Symlink("x", "bin/l"), Mkdir("doc"), Write("doc/a", "1")},
		Run: []Verb{
			Shell(`echo 2 >bin/x.dpkg-new; chmod 755 bin/x.dpkg-new; touch -d @1000000001 bin/x.dpkg-new; ln bin/x bin/x.dpkg-tmp
				mv bin/x.dpkg-new bin/x; rm bin/x.dpkg-tmp; ln -s y bin/l.dpkg-new; mv -T bin/l.dpkg-new bin/l
				cp conf conf.dpkg-new; mv conf.dpkg-new conf; mv doc doc.dpkg-tmp; ln -s /usr/share/doc doc; rm -r doc.dpkg-tmp`),
		},
	},
	{
		Name:   "a deep tree",
		Before: []Verb{deep("old", 16, Write("a", "1"), Link("a", "b"), Write("c", "1"))},
		Run: []Verb{
			deep("old", 16, Append("b", "2"), Remove("c")), deep("new", 16, Write("n", "1")),
			Rename(stem("old"), "renamed"),
		},
		Except: map[string]string{"redirect": noDeep, "rootless": noRedirect, "seccomp": "what has a path longer than PATH_MAX may not be changed"},
	},
	{
		Name:   "one file system",
		Before: []Verb{Write("old", "1"), Mkdir("d"), Write("d/f", "1")},
		Run: []Verb{
			Shell(`echo 2 >new; echo 2 >>d/f; for f in old new d d/f; do test "$(stat -c %d "$f")" = "$(stat -c %d .)"; done; find . -xdev -type f ! -name found | sort >found; cp --one-file-system -r d e`),
		},
	},
	{
		Name:   "a new deep tree",
		Run:    []Verb{deep("new", 16, Write("n", "1"), Symlink("n", "s"), Link("n", "l"), Mkdir("d")), Rename(stem("new"), stem("neu"))},
		Except: map[string]string{"redirect": noDeep},
	},
	{
		Name:   "long names of any byte",
		Before: []Verb{Mkdir(longName("\n")), Write(longName("\n")+"/"+longName("\xff"), "1"), Write(longName("é"), "1")},
		Run:    []Verb{Rename(longName("\n"), longName("\\")), Write(longName("\\")+"/"+longName("\xfe\n"), "1"), Link(longName("é"), longName("\t")), Chmod(longName("é"), 0o600)},
		Except: map[string]string{"redirect": noRedirect, "rootless": noRedirect},
	},
	{
		Name:   "names as of what was removed",
		Before: []Verb{Mkdir("d (deleted)"), Write("d (deleted)/f", "1"), Write("d (deleted)/g", "1"), Write("f (deleted)", "1")},
		Run:    []Verb{Shell(`echo 2 >'f (deleted)'; cd 'd (deleted)'; echo 2 >new; echo 2 >f; rm g; mkdir e; cd e; echo 2 >h`)},
	},
	{
		Name:   "symlinks with a slash after them",
		Before: []Verb{Mkdir("d"), Write("d/f", "1"), Write("f", "1"), Symlink("d", "s"), Symlink("nowhere", "w"), Mkdir("e"), Symlink("e", "z")},
		Run: []Verb{
			refused(func() error { return unix.Rmdir("s/") }, unix.ENOTDIR), refused(func() error { return unix.Unlink("s/") }, unix.ENOTDIR),
			refused(func() error { return unix.Unlink("f/") }, unix.ENOTDIR), refused(func() error { return unix.Mkdir("w/", 0o755) }, unix.EEXIST),
			refused(Rename("s/", "t"), unix.ENOTDIR), refused(Rename("d", "s/"), unix.ENOTDIR), refused(Rename("f", "t/"), unix.ENOTDIR),
			Write("s/g", "1"), Mkdir("new/"), Setxattr("z/", "user.a", "1"),
		},
	},
	{
		Name: "first lines of scripts",
		Run: []Verb{Shell(`printf '#!/bin/sh\t -e\nfalse\necho 1 >wrong\n' >tab; printf '#!/bin/echo' >end; printf '#! /bin/echo a\tb \nx' >argument
			chmod +x tab end argument; ! ./tab; ./end >1; ./argument c >2`)},
	},
	{
		Name:   "a name for what is open",
		Before: []Verb{Write("a", "1")},
		Run:    []Verb{linkOpen("a", "b"), Append("b", "2")},
	},
	{
		Name:   "holes and their ends",
		Before: []Verb{Write("old", "1"), Truncate("old", 8<<20)},
		Run: []Verb{
			Write("a", ""), Truncate("a", 6<<20), Append("a", "end"), Truncate("a", 9<<20), Write("empty", ""), Truncate("empty", 6<<20),
			Shell("printf x | dd of=old bs=1 seek=5000000 conv=notrunc status=none; truncate -s 4M a2; cp --sparse=always old copy"),
		},
	},
	{
		Name:   "times at the edges",
		Before: []Verb{Write("old", "1"), Write("same", "1")},
		Run: []Verb{
			Touch("old", time.Unix(-1, 999_999_999)), Write("epoch", "1"), Touch("epoch", time.Unix(0, 0)), Write("signed", "1"), Touch("signed", time.Unix(1<<31, 5)),
			Write("unsigned", "1"), Touch("unsigned", time.Unix(1<<32, 5)), Write("first", "1"), Touch("first", time.Unix(-1<<31, 1)),
			Read("same", "1"), Shell("touch -a same; touch -h -d @-5.5 link 2>/dev/null || :"),
		},
	},
	{
		Name:  "what must not be changed",
		Needs: "chattr",
		Before: []Verb{
			Shell("echo 1 >fixed; echo 1 >log; mkdir d; echo 1 >d/x; touch -d @1000000000 fixed log; chattr +i fixed; chattr +a log; chattr +a d"),
		},
		Run: []Verb{
			Shell(`! echo 2 2>/dev/null >fixed; echo 2 >>log; echo 1 >d/new; ! rm d/x 2>/dev/null; chattr -i fixed; echo 3 >>fixed; chattr +i fixed
				chattr -a d; rm d/x; echo 1 >made; chattr +i made; mkdir e; echo 1 >e/y; chattr +i e; chattr +A log`),
		},
		Except: map[string]string{"redirect": noFlags, "rootless": noFlags, "fuse, user": noFlags},
	},
	{
		Name:   "inherited from a directory",
		Needs:  "setfacl",
		Before: []Verb{Shell("mkdir g a; chgrp 5 g; chmod 2775 g; setfacl -m d:u:7:rwx a; mkdir a/old; echo 1 >g/x; echo 1 >y")},
		Run: []Verb{
			Umask(0o27), Shell("mkdir g/d; echo 1 >g/d/f; mv y g/y; cp g/x g/c; mv a b; mkdir b/new; echo 1 >b/new/f; echo 1 >b/old/f; ln g/x b/l; mkfifo b/p"),
		},
		Except: map[string]string{"rootless, one id": noOthers, "fuse, user, one id": noOthers},
	},
}

// stem is the name of each directory of a deep tree, as long as a name can be,
// less one.
func stem(name string) string { return name + strings.Repeat("d", 254-len(name)) }

// deep does verbs in a directory below directories of such names: 16 of them come
// close to PATH_MAX, and beyond it with what the scene itself lies in.
func deep(name string, depth int, verbs ...Verb) Verb {
	return func() error {
		top, err := os.Open(".")
		if err != nil {
			return err
		}
		defer top.Close()
		for range depth {
			if err := os.Mkdir(stem(name), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			if err := os.Chdir(stem(name)); err != nil {
				return err
			}
		}
		if err := perform(verbs); err != nil {
			return fmt.Errorf("in the deep: %w", err)
		}
		return top.Chdir()
	}
}

// longName repeats a piece up to the length that a name can have.
func longName(piece string) string { return strings.Repeat(piece, 255/len(piece)) }
