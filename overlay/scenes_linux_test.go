package overlay

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
)

// scenes are what verbs drawn by lot hardly ever do: what was there, and what is
// done to it, in the words of the shell.
var scenes = []struct{ name, before, run string }{
	{"a copy in place of a hard link", `echo 1 >a; ln a b`, `cp -p b t; mv t b`},
	{"one of three names gone", `echo 1 >a; ln a b; ln a c`, `rm b`},
	{"one of three names renamed and written", `echo 1 >a; ln a b; ln a c`, `mv b d; echo 22 >d`},
	{"a changed name in a renamed directory", `mkdir d; echo 1 >d/a; ln d/a b`, `mv d e; echo 22 >e/a`},
	{"a new name for one that has others", `echo 1 >a; ln a b`, `ln b c`},
	{"a new name, and the old one gone", `echo 1 >a`, `ln a b; rm a`},
	{"a name linked over another", `echo 1 >a; cp -p a b`, `ln -f a b`},
	{"a new file in place of two names", `echo 1 >a; ln a b`, `rm a b; echo 1 >a; ln a b`},
	{"hard links of a fifo", `mkfifo a; ln a b`, `chmod 600 a`},
	{"hard links of a symlink", `ln -s x a; ln a b`, `chown -h 1:1 a; ln b c`},
	{"a directory there and back", `mkdir d; echo 1 >d/a; ln d/a b`, `mv d e; mv e d`},
	{"two directories exchanged, with a file in common", `mkdir d e; echo 1 >d/a; cp -p d/a e/a; echo 2 >d/b; echo 3 >e/b`,
		`mv d t; mv e d; mv t e`},
	{"a directory renamed into a renamed one", `mkdir -p d/s e/s; echo 1 >d/s/a; echo 2 >e/s/b`, `mv d/s e/t; mv e f`},
	{"a tree in place of another", `mkdir -p d/e; echo 1 >d/e/a; echo 2 >d/b`, `rm -r d; mkdir -p d/e; echo 3 >d/e/c; touch -d @1000000000 d`},
	{"file to directory and directory to symlink", `echo 1 >a; mkdir -p b/c; echo 2 >b/c/d`,
		`rm -r a b; mkdir a; echo 2 >a/x; ln -s a b`},
	{"socket to file and file to socket", `python3 -c "import socket; socket.socket(1).bind('s')"; echo 1 >f`,
		`rm s f; echo 1 >s; python3 -c "import socket; socket.socket(1).bind('f')"`},
	{"made and removed", `mkdir d`, `mkdir -p d/e/f; echo 1 >d/e/f/g; rm -r d/e; echo 1 >d/t; rm d/t`},
	{"only opened", `echo 1 >a`, `: >>a`},
	{"the same bytes, the same time", `echo 1 >a`, `touch -r a t; echo 1 >a; touch -r t a; rm t`},
	{"other bytes, the same time", `echo 1 >a`, `touch -r a t; echo 2 >a; touch -r t a; rm t`},
	{"times before 1970 and after 2100", `:`, `touch -d @-1000.25 a; touch -d @5000000000.75 b`},
	{"only the mode of a directory", `mkdir d e`, `chmod 700 d; chmod 700 e; chmod 755 e`},
	{"set-id", `echo 1 >a`, `chmod 4755 a; mkdir d; chown 0:5 d; chmod 2775 d; echo 1 >d/b; chmod 6711 d/b`},
	{"access control lists", `mkdir d; echo 1 >a; setfacl -m u:1234:rw a`,
		`setfacl -m d:g:5:rwx d; echo 1 >d/b; setfacl -b a; echo 1 >c; setfacl -m u:77:rwx c`},
	{"capabilities", `cp /bin/true a; setcap cap_net_raw+ep a`, `cp /bin/true b; setcap cap_net_raw+ep b; setcap -r a`},
	{"attributes of a symlink and a device", `ln -s x a; mknod n c 1 3`,
		`setfattr -h -n trusted.a -v 1 a; setfattr -n trusted.n -v 1 n; ln -s x b; setfattr -h -n security.b -v 2 b`},
	{"a large attribute and many", `echo 1 >a; for i in 1 2 3; do setfattr -n user.$i -v $i a; done`,
		`setfattr -n user.large -v "$(head -c 1500 /dev/zero | tr '\0' x)" a; for i in $(seq 30); do setfattr -n user.attribute$i -v $i a; done`},
	{"attributes of an overlay in the overlay", `mkdir d; echo 1 >a; setfattr -n trusted.overlay.x -v 1 d; setfattr -n trusted.overlay.overlay.x -v 1 a`,
		`mkdir e; setfattr -n trusted.overlay.opaque -v y e; setfattr -n user.overlay.x -v 1 d; chmod 600 a; chmod 700 d`},
	{"inode flags", `echo 1 >a; echo 1 >b; mkdir d; chattr +A b; chattr +d a d`,
		`chmod 600 a b d; mkdir d/e; chattr +d d/e; echo 1 >c; chattr +dA c; chattr +S a; echo 1 >i; chattr +i i; echo 1 >o; chattr +a o`},
	{"sparse files", `truncate -s 3M a; echo 1 >>a`, `truncate -s 5M a; truncate -s 9M b; echo 1 >>b`},
	{"names", `touch -- "old
name"`, `rm "old
name"; touch -- " a " "-rf" "*" 'q"' "new
line" '\n' .wh.a .wh..wh..opq "$(printf %0255d 0)" "$(printf '\377\376')" "#" "=" ...`},
	{"the order of names", `:`, `mkdir a a- a.b; touch a/x a-/x a.b/x a0; mkdir a/x-; touch "a b"`},
}

func TestScenes(t *testing.T) {
	lower, native := t.TempDir(), t.TempDir()
	for _, root := range []string{lower, native} {
		for _, s := range scenes {
			shell(t, filepath.Join(root, s.name), s.before)
		}
		age(t, root)
	}
	t.Cleanup(func() { shell(t, native, `chattr -ia "inode flags"/*`) }) // to be removed
	u := newUnion(t, lower, t.TempDir(), runOptions)
	j := &capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now()}
	for _, s := range scenes {
		shell(t, filepath.Join(native, s.name), s.run)
		shell(t, filepath.Join(u.mergedDir, s.name), s.run)
	}
	j.After = capturetest.Take(t, native)
	u.check(t, j)
}

// shell runs a script in a directory that is made if need be.
func shell(t testing.TB, dir, script string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
