package rebase

import (
	"fmt"
	"os"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Root is a directory whose images are recorded by the absolute paths they
// have when that directory is the system's root.
type Root struct {
	*os.Root
	Mounts []Mount
}

// A Mount says that what is recorded below Name lies below Path in the root. On
// Cygwin /usr/bin is a mount of /bin, which another system does not know.
type Mount struct{ Name, Path string } // absolute

// CygwinMounts are the mounts that every Cygwin system has.
var CygwinMounts = []Mount{{"/usr/bin", "/bin"}, {"/usr/lib", "/lib"}}

// ParseMount reads NAME=PATH.
func ParseMount(s string) (Mount, error) {
	name, path, _ := strings.Cut(s, "=")
	for _, p := range []string{name, path} {
		if !strings.HasPrefix(p, "/") || plist.CheckPath(p[1:]) != nil {
			return Mount{}, fmt.Errorf("mount %q: want NAME=PATH, both absolute", s)
		}
	}
	return Mount{name, path}, nil
}

// FileOf returns where the image of a recorded name lies.
func (r *Root) FileOf(name string) (File, error) {
	at := name
	for _, m := range r.Mounts {
		if rest, ok := below(name, m.Name); ok {
			at = m.Path + rest
			break
		}
	}
	rel, ok := strings.CutPrefix(at, "/")
	if !ok {
		return File{}, fmt.Errorf("%s: not an absolute path", name)
	}
	return File{name, rel}, plist.CheckPath(rel)
}

// FileAt is the inverse of FileOf: it returns the name that an image at an entry
// path is recorded by.
func (r *Root) FileAt(path string) File {
	name := "/" + path
	for _, m := range r.Mounts {
		if rest, ok := below(name, m.Path); ok {
			return File{m.Name + rest, path}
		}
	}
	return File{name, path}
}

// below returns what follows dir in name, if name is it or lies below it.
func below(name, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(name, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
