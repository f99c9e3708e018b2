package tarball

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// lost are facts that a reader does not restore, and why.
type lost struct {
	reader string
	why    string
	facts  []string // all if nil
}

func plistDir(r *os.Root) plist.Tree { return plist.DirTree{Root: r} }

// traps are trees that archives have been known to lose something of. Each is made
// by a shell script in an empty directory, archived, and unpacked by the readers.
// What a reader is known to lose in a trap is told; the rest must match in all
// facts that the reader restores at all.
var traps = []struct {
	name   string
	script string
	known  []lost
}{
	{"plain", `mkdir -p usr/bin; echo hi >usr/bin/x; chmod 755 usr/bin/x; : >empty; ln -s usr/bin/x s`, nil},
	{"set-id and sticky", `echo x >f; chown 1:2 f; chmod 6755 f; mkdir d; chmod 3777 d; mkdir e; chmod 2750 e`, nil},
	{"no permissions", `echo x >f; mkdir d; echo y >d/g; chmod 0 f d`, nil},
	{"hard links", `mkdir a b; echo x >a/z; ln a/z b/a; ln a/z a/y; mkfifo p; ln p q; echo one >c; setfattr -n user.x -v y a/z`, nil},
	{"hard link to an immutable file", `echo x >a; ln a b; chattr +i a`, nil},
	{"symlinks", `ln -s /abs/olute a; ln -s ../../up b; ln -s . c; ln -s "$(printf %0300d 0)" d; ln -s "$(printf 'caf\351')" e`, nil},
	{"symlink times and owners", `ln -s x a; touch -h -d '2001-02-03 04:05:06.789012345' a; chown -h 5:6 a`, nil},
	{"devices and fifos", `mknod c c 1 3; mknod b b 7 200; mknod big c 4095 1048575; mkfifo -m 640 p`, nil},
	{"names up to 255 bytes", `mkdir -p $(printf %0155d 0)/; echo x >$(printf %0155d 0)/$(printf %0100d 1); echo y >$(printf %0100d 2)`, nil},
	{"names over 255 bytes", `d=$(printf %0200d 0)/$(printf %0200d 0); mkdir -p $d; echo x >$d/$(printf %0200d 1); ln $d/$(printf %0200d 1) l`, nil},
	{"name of 101 bytes without a slash", `echo x >$(printf %0101d 1); mkdir $(printf %0100d 2)`, nil},
	{"any byte in a name", `echo x >"$(printf 'a\001\nb\377\tc')"; echo y >"$(printf '\303\251')"; mkdir "$(printf 'd\\\033')"; echo z >' '`, nil},
	{"any byte in a long name", `echo x >"$(printf 'caf\351\377%0120d' 0)"; echo y >"$(printf 'e\314\201%0120d' 0)"; ln -s "$(printf 'e\314\201%0120d' 0)" s`, nil},
	{"names that programs interpret", `for n in -f --help @x a:b a=b '*' '\a' '\101' x%y ~ a,b '"' \#  PaxHeaders.0 @LongLink .wh.x .wh..wh..opq; do echo "$n" >"./$n"; done; mkdir GNUSparseFile.0; echo x >GNUSparseFile.0/y; ln ./a:b ./c:d; ln -s a:b ./e:f; mkdir ./g:h`, nil},
	{"large ids", `echo x >f; chown 2097151:2097152 f; mkdir d; chown 3000000:4294967294 d`, nil},
	{"nanoseconds", `touch -d '2020-01-01 00:00:00.000000001' a; touch -d '2020-01-01 00:00:00.999999999' b; touch -d '2020-01-01 00:00:00.5' c; mkdir d; touch -d '2020-01-01 00:00:00.25' d`, []lost{
		{"python3", "rounds to a double", []string{"seconds"}},
	}},
	{"times of directories", `mkdir -p a/b; echo x >a/b/c; touch -d 2001-01-01 a/b; touch -d 2002-02-02 a`, nil},
	{"times before 1970", `touch -d '1960-01-01' a; touch -d '1969-12-31 23:59:59Z' b`, nil},
	{"fractions before 1970", `touch -d '1960-01-01 00:00:00.25' a; touch -d '1969-12-31 23:59:59.75Z' b`, []lost{
		{"bsdtar", "gives the fraction the wrong sign", []string{"time", "seconds"}},
	}},
	{"times after 2038 and 2242", `touch -d '2100-01-01' a; touch -d '2300-01-01 00:00:00.5' b`, nil},
	{"extended attributes", `echo x >f; setfattr -n user.bin -v 0x00ff0a3d00 f; setfattr -n user.empty f; setfattr -n trusted.t -v 'a=b
' f; mkdir d; setfattr -n user.d -v x d; ln -s x s; setfattr -h -n trusted.s -v y s; setfattr -n user.long -v $(printf %03000d 7) f`, nil},
	{"attribute names with = and %", `echo x >f; setfattr -n user.a=b%3D -v x f`, []lost{
		{"bsdtar", "takes the encoded name literally", []string{"xattrs"}},
	}},
	{"capabilities", `cp /bin/true f; setcap cap_net_raw=ep f; cp /bin/true g; chown 7:8 g; chmod 4711 g; setcap cap_chown=eip g`, nil},
	{"ACLs", `echo x >f; setfacl -m u:1000:rw,u:7:---,g:2000000:r-x,m::rwx f; mkdir d; setfacl -m u:5:rwx -d -m g:6:r d; setfacl -d -m u::rwx,u:9:x,o::- d`, nil},
	{"children of a default ACL", `mkdir d; setfacl -d -m u:5:rwx d; echo x >d/f; setfacl -b d/f; chmod 640 d/f; mkdir d/e; setfacl -b -k d/e; chmod 711 d/e`, nil},
	{"inode flags", `echo x >f; chattr +d +A +S f; echo y >g; chattr +a g; echo z >h; chattr +i h; mkdir d; chattr +D d; mkdir e; echo z >e/f; chattr +i e`, nil},
	{"sparse files", `truncate -s 50M a; printf x | dd of=a bs=1 seek=4096 conv=notrunc status=none; truncate -s 1M b; printf end >>b; truncate -s 20M c; printf start | dd of=c conv=notrunc status=none; truncate -s 5000 d; printf x >e; truncate -s 40M e; chmod 600 e; setfattr -n user.x -v y e`, []lost{
		{"busybox", "does not know sparse files", nil},
	}},
	{"sparse file of a long name", `d=$(printf %0200d 0)/$(printf 'caf\351%0100d' 0); mkdir -p $d; truncate -s 3M $d/f; ln $d/f l; touch -d 2001-01-01 $d/f`, []lost{
		{"busybox", "does not know sparse files", nil},
	}},
	{"zeros that are no hole", `head -c 1000000 /dev/zero >f; fallocate -l 200000 g`, nil},
}

func TestTraps(t *testing.T) {
	need.Root(t)
	need.Program(t, "getfattr")
	need.Program(t, "getfacl")
	need.Program(t, "lsattr")
	need.Program(t, "setcap")
	for _, trap := range traps {
		t.Run(trap.name, func(t *testing.T) {
			t.Parallel()
			dir := flagDir(t)
			run(t, dir, "bash", "-euc", trap.script)
			want := take(t, dir)
			archive := writeArchive(t, dir, Options{Compression: None})
			t.Run("Reader", func(t *testing.T) { readBack(t, archive, scanTree(t, dir)) })
			for _, r := range readers {
				t.Run(r.name, func(t *testing.T) {
					dir, err := r.unpack(t, archive)
					but := r.cannot
					for _, l := range trap.known {
						if l.reader == r.name && l.facts == nil {
							t.Logf("%s %s", r.name, l.why)
							return
						}
						if l.reader == r.name {
							but = append(but[:len(but):len(but)], l.facts...)
						}
					}
					check(t, err)
					for _, d := range want.diff(take(t, dir), but...) {
						t.Error(d)
					}
				})
			}
		})
	}
}

// readBack reads an archive, compares it with a list whose digests are SHA-256,
// and writes it again.
func readBack(t *testing.T, archive string, want *plist.List) {
	old, err := os.ReadFile(archive)
	check(t, err)
	r, err := NewReader(bytes.NewReader(old))
	check(t, err)
	defer shut(t, r)
	if !slices.EqualFunc(r.List().Entries, want.Entries, func(a, b plist.Entry) bool { return a.Same(&b) }) {
		t.Errorf("list is %v, want %v", r.List().Entries, want.Entries)
	}
	for _, e := range want.Entries {
		if !e.HasContent() {
			continue
		}
		f, err := r.Open(e.Path)
		check(t, err)
		hash := sha256.New()
		n, err := io.Copy(hash, f)
		check(t, err)
		if n != e.Size || plist.Digest(hash.Sum(nil)) != e.Digest {
			t.Errorf("%q: other content", e.Path)
		}
		check(t, f.Close())
	}
	check(t, r.Finish())
	var again bytes.Buffer
	check(t, Write(&again, r.List(), r, Options{Compression: None}))
	if !bytes.Equal(again.Bytes(), old) {
		t.Error("written again it is not the same")
	}
}
