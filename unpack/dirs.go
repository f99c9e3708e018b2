package unpack

import (
	"path"

	"github.com/sandbox-install/sandbox-install/plist"
)

// dirs finds the real places of a package's paths: the root's symlinks to
// directories are followed, unless the package puts a directory in their place.
type dirs struct {
	root  *Root
	list  *plist.List
	known map[string]realDir
}

type realDir struct {
	path string
	made bool // the package makes it, so what is there now says nothing
}

func newDirs(r *Root, l *plist.List) *dirs {
	return &dirs{r, l, map[string]realDir{".": {path: "."}}}
}

// place returns the real path of an entry path: of its directory, and the last
// component as it is.
func (d *dirs) place(named string) (string, error) {
	if named == "." {
		return named, nil
	}
	dir, err := d.dir(path.Dir(named))
	return path.Join(dir.path, path.Base(named)), err
}

func (d *dirs) dir(named string) (realDir, error) {
	if known, ok := d.known[named]; ok {
		return known, nil
	}
	parent, err := d.dir(path.Dir(named))
	if err != nil {
		return parent, err
	}
	real := realDir{path.Join(parent.path, path.Base(named)), parent.made}
	if e := d.list.Find(named); e != nil && e.Mode.IsDir() && e.Changed&plist.ChangedType != 0 {
		real.made = true
	}
	if !real.made {
		if real.path, err = d.root.resolve(real.path); err != nil {
			return real, err
		}
	}
	d.known[named] = real
	return real, nil
}
