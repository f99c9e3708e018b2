package unpack

import (
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// disks are scripts that mount on mnt a file system in which root is the directory base.
var disks = map[string]string{
	"ext4":    "truncate -s 320M disk; mkfs.ext4 -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"xfs":     "truncate -s 320M disk; mkfs.xfs -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"btrfs":   "truncate -s 320M disk; mkfs.btrfs -q disk; mount -o loop disk mnt; cp -aT base mnt/root",
	"tmpfs":   "mount -t tmpfs tmpfs mnt; cp -aT base mnt/root",
	"overlay": "mkdir space; mount -t tmpfs tmpfs space; mkdir space/lower space/upper space/work; cp -aT base space/lower/root; mount -t overlay -o lowerdir=space/lower,upperdir=space/upper,workdir=space/work overlay mnt",
}

// TestFileSystems does every verb on every kind of disk.
func TestFileSystems(t *testing.T) {
	need.Root(t)
	s := newScene(t, t.TempDir())
	for name, script := range disks {
		t.Run(name, func(t *testing.T) {
			if name != "tmpfs" && name != "overlay" {
				need.Program(t, "mkfs."+name)
			}
			dir := t.TempDir()
			sh(t, dir, "mkdir mnt; cp -aT '"+s.old+"' base\n"+script)
			t.Cleanup(func() { sh(t, dir, "umount mnt; ! mountpoint -q space || umount space") })
			root := dir + "/mnt/root"
			r := open(t, root)
			for _, step := range []struct {
				verb verb
				want string
			}{
				{verb{verb: "unpack", arg: s.pkg1}, s.one},
				{verb{verb: "unpack", arg: s.pkg2}, s.two},
				{verb{verb: "undo"}, s.one},
				{verb{verb: "remove", arg: "thing"}, s.old},
				{verb{verb: "undo"}, s.one},
			} {
				check(t, step.verb.perform(r))
				expect(t, root, s.pictures[step.want])
			}
		})
	}
}

// TestFUSE: the program behind a mount may not exchange names, nor be asked to sync.
func TestFUSE(t *testing.T) {
	need.Root(t)
	need.Program(t, "bindfs")
	dir := t.TempDir()
	sh(t, dir, "mkdir base mnt; cd base\n"+base+"cd ..; cp -a base after; cp -a base under; cd after; v=1\n"+installation)
	pkg := makePackage(t, dir+"/base", dir+"/after", "1")
	old, one := picture(t, dir+"/base"), picture(t, dir+"/after")
	sh(t, dir, "bindfs under mnt")
	t.Cleanup(func() { sh(t, dir, "umount mnt") })
	r := open(t, dir+"/mnt")
	done, err := r.Unpack(mustRead(t, pkg), Policy{})
	check(t, err)
	expect(t, dir+"/under", one)
	if !slices.ContainsFunc(done.Notes, func(note string) bool { return strings.Contains(note, "missing for a moment") }) {
		t.Errorf("notes: %q", done.Notes)
	}
	_, err = r.Remove("thing", Policy{})
	check(t, err)
	expect(t, dir+"/under", old)
}

func mustRead(t *testing.T, name string) Package {
	t.Helper()
	pkg, f, err := readPackage(name)
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	return pkg
}

// TestSpace: what does not fit is refused before anything is written, for each file
// system by itself: blocks, and files where their number is limited.
func TestSpace(t *testing.T) {
	need.Root(t)
	for _, c := range []struct{ name, mount, install, refused string }{
		{"blocks", "size=1M", "head -c 3000000 /dev/zero | tr '\\0' x > mnt/big; echo 1 > small", "needs 2 MiB of disk, 1 MiB are free"},
		{"inodes", "nr_inodes=20", "for i in $(seq 40); do echo $i > mnt/$i; done", "inodes, "},
		{"what fits", "size=8M", "head -c 3000000 /dev/zero | tr '\\0' x > mnt/big; for i in $(seq 40); do echo $i > $i; done", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVersions(t, "mkdir mnt")
			pkg := v.pkg("thing", "1", c.install)
			v.sh("mount -t tmpfs -o " + c.mount + " tmpfs mnt")
			t.Cleanup(func() { v.sh("umount mnt") })
			was := picture(t, v.dir+"/root")
			_, err := v.r.Unpack(pkg, Policy{})
			if c.refused != "" {
				expectRefusal(t, err, c.refused)
				expect(t, v.dir+"/root", was)
				v.sh("[ ! -e var/lib/sandbox-install ]")
				return
			}
			check(t, err)
			_, err = v.r.Remove("thing", Policy{})
			check(t, err)
			expect(t, v.dir+"/root", was)
		})
	}
}
