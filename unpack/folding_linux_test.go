package unpack

import (
	"path"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A foldingDisk takes names that differ in case for the same, as file systems of
// Windows and macOS do: a name that is there is found by any spelling.
type foldingDisk struct{ disk }

// spell returns the name by which a path is known to the disk below.
func (d foldingDisk) spell(name string) string {
	if name == "." {
		return name
	}
	dir := d.spell(path.Dir(name))
	names, err := d.disk.readDir(dir)
	if err == nil {
		for _, n := range names {
			if strings.EqualFold(n, path.Base(name)) {
				return path.Join(dir, n)
			}
		}
	}
	return path.Join(dir, path.Base(name))
}

func (d foldingDisk) lstat(name string, hash hashing) (plist.Entry, capture.Inode, error) {
	return d.disk.lstat(d.spell(name), hash)
}
func (d foldingDisk) exists(name string) (bool, error)      { return d.disk.exists(d.spell(name)) }
func (d foldingDisk) readDir(name string) ([]string, error) { return d.disk.readDir(d.spell(name)) }
func (d foldingDisk) openFile(name string) (content, error) { return d.disk.openFile(d.spell(name)) }
func (d foldingDisk) space(name string) (space, error)      { return d.disk.space(d.spell(name)) }
func (d foldingDisk) create(name string) (file, error)      { return d.disk.create(d.spell(name)) }
func (d foldingDisk) mkdir(name string, perm uint32) error  { return d.disk.mkdir(d.spell(name), perm) }

func (d foldingDisk) symlink(target, name string) error { return d.disk.symlink(target, d.spell(name)) }

func (d foldingDisk) link(old, name string) error        { return d.disk.link(d.spell(old), d.spell(name)) }
func (d foldingDisk) unlink(name string) error           { return d.disk.unlink(d.spell(name)) }
func (d foldingDisk) rmdir(name string) error            { return d.disk.rmdir(d.spell(name)) }
func (d foldingDisk) inode(name string) (inode, error)   { return d.disk.inode(d.spell(name)) }
func (d foldingDisk) fsync(name string) error            { return d.disk.fsync(d.spell(name)) }
func (d foldingDisk) volume(name string) (volume, error) { return d.disk.volume(d.spell(name)) }
func (d foldingDisk) rename(old, name string, how renaming) error {
	return d.disk.rename(d.spell(old), d.spell(name), how)
}

// TestFolding: names that are one in the root are a conflict, of the package and of
// the root; elsewhere they are two.
func TestFolding(t *testing.T) {
	for _, c := range []struct{ name, base, install, there, refused string }{
		{"two of the package", "echo x > seen", "echo 1 > ReadMe; echo 2 > README", "", "/ReadMe: is the same name as /README here"},
		{"two directories", "mkdir seen", "mkdir -p seen/new/A seen/new/a", "", "/seen/new/a: is the same name as /seen/new/A here"},
		{"in a directory that is empty", "mkdir -p seen/in", "echo 1 > seen/in/A; echo 2 > seen/in/a", "", "/seen/in/a: is the same name as /seen/in/A here"},
		{"one of the root", "echo x > seen", "echo 1 > README", "echo mine > ReadMe", "/README: is there already as /ReadMe, which is the same here"},
		{"one of the same content", "echo x > seen", "echo 1 > README", "echo 1 > ReadMe", "/README: is there already as /ReadMe, which is the same here"},
		{"a directory of the root", "echo x > seen", "mkdir -p Lib; echo 1 > Lib/f", "mkdir lib", "/Lib: is there already as /lib, which is the same here"},
		{"our own place", "mkdir -p var/lib/sandbox-install; echo x > seen", "mkdir -p VAR/lib/sandbox-install; echo 1 > VAR/lib/sandbox-install/lock", "", "/VAR: is there already as /var, which is the same here"},
		{"names that differ", "echo x > seen", "echo 1 > one; echo 2 > two; mkdir D; echo 3 > D/d", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newVersions(t, c.base)
			pkg := v.pkg("thing", "1", c.install)
			v.sh(":; " + c.there)
			clean := picture(t, v.dir+"/root")
			for _, folds := range []bool{true, false} {
				r := open(t, v.dir+"/root")
				refused := c.refused
				if folds {
					r.sys.disk = foldingDisk{r.sys.disk}
				} else {
					refused = ""
				}
				_, err := r.Unpack(pkg, Policy{})
				if refused != "" {
					expectRefusal(t, err, refused)
					expect(t, v.dir+"/root", clean)
					continue
				}
				check(t, err)
				_, err = r.Remove("thing", Policy{})
				check(t, err)
				expect(t, v.dir+"/root", clean)
			}
		})
	}
}
