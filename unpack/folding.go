package unpack

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Some file systems take names that differ in case only for the same: those of Windows
// and macOS, and directories of ext4, f2fs and tmpfs that are made so. No call tells;
// so it is tried, with names that are there.

// listing returns the names in a directory, once; nothing if it is not there.
func (p *planner) listing(dir string) (map[string]bool, error) {
	if names, ok := p.names[dir]; ok {
		return names, nil
	}
	all, err := p.sys.readDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make(map[string]bool, len(all))
	for _, n := range all {
		names[n] = true
	}
	p.names[dir] = names
	return names, nil
}

// isSpelt refuses a path at which something is that has another name in its directory.
func (p *planner) isSpelt(real string) (bool, error) {
	if real == "." {
		return true, nil
	}
	names, err := p.listing(path.Dir(real))
	if err != nil || names[path.Base(real)] {
		return true, err
	}
	other := "another name"
	for name := range names {
		if strings.EqualFold(name, path.Base(real)) {
			other = "/" + path.Join(path.Dir(real), name)
		}
	}
	p.refuse(real, "", "is there already as %s, which is the same here", other)
	return false, nil
}

// checkFolding refuses names of the package that would be one.
func (p *planner) checkFolding() error {
	first := make(map[string]string, len(p.goals)) // of the paths that fold to one
	for i := range p.pkg.List.Entries {
		e := &p.pkg.List.Entries[i]
		if e.Op == plist.OpDelete {
			continue
		}
		folded := strings.ToLower(strings.ToUpper(e.Path))
		other, ok := first[folded]
		if !ok {
			first[folded] = e.Path
			continue
		}
		folds, err := p.folds(path.Dir(e.Path))
		if err != nil {
			return err
		}
		if folds {
			p.refuse(e.Path, "", "is the same name as /%s here", other)
		}
	}
	return nil
}

// folds reports whether a directory of the package is, or will be, one in which names
// that differ in case are the same. One that is made is as the one it is made in.
func (p *planner) folds(named string) (bool, error) {
	dir, err := p.resolve(named)
	if err != nil {
		return false, err
	}
	for ; ; dir = path.Dir(dir) {
		names, err := p.listing(dir)
		if err != nil {
			return false, err
		}
		for name := range names {
			swapped := strings.Map(swapCase, name)
			if swapped != name {
				there, err := p.sys.exists(path.Join(dir, swapped))
				return there && !names[swapped], err
			}
		}
		if dir == "." {
			return false, nil
		}
	}
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}
