package hashdiff

import (
	"io/fs"
	"path"
	"runtime"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// RuleOwned is the rule of entries that belong to a package already.
const RuleOwned = "base"

// Owners are the paths that belong to packages.
type Owners struct {
	root  string
	paths map[string]*plist.Entry // as their package made them; nil if it only names them
	real  map[string]string       // directories whose way through symlinks is known
}

// NewOwners returns the owners of no path. Lists name files by any way that leads to
// them below root, entries by where they are: /bin may be a symlink to /usr/bin.
func NewOwners(root string) *Owners {
	return &Owners{root: root, paths: map[string]*plist.Entry{".": nil}, real: make(map[string]string)}
}

// Add adds an entry path, and the directories it is in.
func (o *Owners) Add(name string, e *plist.Entry) {
	dir := path.Dir(name)
	if dir != "." {
		name = join(o.realDir(dir), path.Base(name))
	}
	name = fold(name)
	if known, ok := o.paths[name]; !ok || known == nil {
		o.paths[name] = e
	}
	for dir = path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := o.paths[dir]; ok {
			return
		}
		o.paths[dir] = nil
	}
}

// AddList adds all that a list says is there.
func (o *Owners) AddList(l *plist.List) {
	for i := range l.Entries {
		if e := &l.Entries[i]; e.Op != plist.OpDelete && e.Packed() {
			o.Add(e.Path, e)
		}
	}
}

// realDir is where a directory is. One that is not there stays as it is named.
func (o *Owners) realDir(dir string) string {
	real, ok := o.real[dir]
	if !ok {
		var err error
		if real, _, err = resolve(o.root, dir); err != nil {
			real = dir
		}
		o.real[dir] = real
	}
	return real
}

// Classify makes noise of the additions to be packed that belong to a package, and
// are as it made them, unless the user wants them.
func (o *Owners) Classify(l *plist.List) {
	for i := range l.Entries {
		e := &l.Entries[i]
		if changed, ok := o.changed(e); ok && changed == 0 && e.Packed() && e.Rule != "include" {
			e.Class, e.Rule = plist.ClassNoise, RuleOwned
		}
	}
}

// Compare makes modifications of the additions that belong to a package, and are not
// as it made them. It is for a list of all that is there.
func (o *Owners) Compare(l *plist.List) {
	for i := range l.Entries {
		e := &l.Entries[i]
		if changed, ok := o.changed(e); ok && changed != 0 {
			e.Op, e.Changed = plist.OpModify, changed
		}
	}
}

// changed tells what of an addition is not as its package made it; false if it
// belongs to none.
func (o *Owners) changed(e *plist.Entry) (plist.Change, bool) {
	owned, ok := o.paths[fold(e.Path)]
	switch {
	case !ok || e.Op != plist.OpAdd:
		return 0, false
	case owned == nil || !owned.Described():
		return 0, true
	case owned.Mode.Type() != e.Mode.Type():
		return plist.ChangedType, true
	case contentDiffers(owned, e):
		return plist.ChangedContent, true
	}
	return 0, true
}

func contentDiffers(a, b *plist.Entry) bool {
	if a.Mode.Type() == fs.ModeSymlink {
		return a.Link != b.Link
	}
	return a.Size != b.Size || a.Digest != b.Digest || a.Major != b.Major || a.Minor != b.Minor
}

// fold gives all ways to write a path where case does not matter the same one.
func fold(path string) string {
	if runtime.GOOS == "windows" {
		return strings.ToLower(path)
	}
	return path
}
