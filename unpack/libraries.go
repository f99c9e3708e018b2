package unpack

import (
	"debug/elf"
	"debug/pe"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/sandbox-install/sandbox-install/internal/dll"
	"github.com/sandbox-install/sandbox-install/plist"
)

// wantLibraries looks for shared libraries that go and that other packages need:
// it tells which, and keeps them if that is wanted. What a program needs is what
// the files themselves say, as they are in the root.
func (p *planner) wantLibraries() error {
	lost := p.lostLibraries()
	if len(lost) == 0 {
		return nil
	}
	all, err := p.Packages()
	if err != nil {
		return err
	}
	for _, rec := range all {
		if p.old != nil && rec.Name() == p.old.Name() {
			continue
		}
		for i := range rec.Installed.Entries {
			e := &rec.Installed.Entries[i]
			if e.Op == plist.OpDelete || !mayNeed(e) {
				continue
			}
			needs, err := p.needs(e.Path)
			if err != nil {
				return err
			}
			for _, library := range needs {
				if real := lost[libraryName(library)]; real != "" {
					p.lose(real, rec.Name(), e.Path)
				}
			}
		}
	}
	return nil
}

// lose tells that a library goes that a file of a package needs, or keeps it.
func (p *planner) lose(real, name, needer string) {
	if p.pkg.List == nil || !p.policy.KeepLibs {
		p.note(real, "goes, and /%s of package %s needs it", needer, name)
		return
	}
	for !p.kept[real] {
		p.note(real, "is kept for package %s", name)
		p.kept[real] = true
		now := p.there[real]
		p.leave(now)
		if now.Mode.Type() != fs.ModeSymlink {
			return
		}
		target := path.Join(path.Dir(real), now.Link)
		if g, ok := p.goals[target]; !ok || g.entry != nil || p.there[target] == nil {
			return
		}
		real = target
	}
}

// lostLibraries returns the names of shared libraries that are not there afterwards,
// and their paths.
func (p *planner) lostLibraries() map[string]string {
	lost := make(map[string]string)
	if p.old == nil {
		return lost
	}
	for i := range p.old.Installed.Entries {
		e := &p.old.Installed.Entries[i]
		g, ok := p.goals[e.Path]
		if isLibrary(e.Path) && ok && g.entry == nil && p.there[e.Path] != nil {
			lost[libraryName(path.Base(e.Path))] = e.Path
		}
	}
	for real, g := range p.goals {
		if g.entry != nil && g.from == fromPackage {
			delete(lost, libraryName(path.Base(real))) // it has another place
		}
	}
	return lost
}

// isLibrary reports whether a file has the name of a shared library: a soname or a
// DLL's.
func isLibrary(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.") || strings.EqualFold(path.Ext(base), ".dll")
}

// libraryName is a library's name as it is looked for: that of a DLL in any case.
func libraryName(name string) string {
	if strings.EqualFold(path.Ext(name), ".dll") {
		return strings.ToLower(name)
	}
	return name
}

// mayNeed reports whether a file may be a program or library.
func mayNeed(e *plist.Entry) bool {
	return e.HasContent() && (e.Mode&0o111 != 0 || isLibrary(e.Path) || strings.EqualFold(path.Ext(e.Path), ".exe"))
}

// needs returns the names of the libraries that an object needs; none if the file is
// no object, or gone.
func (p *planner) needs(real string) ([]string, error) {
	f, err := p.sys.openFile(real)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	defer f.Close() //nolint:errcheck // only read
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return nil, nil // shorter than any object
	}
	switch {
	case string(magic[:]) == elf.ELFMAG:
		object, err := elf.NewFile(f)
		if err != nil {
			return nil, nil // damaged: nothing loads it
		}
		return object.ImportedLibraries()
	case magic[0] == 'M' && magic[1] == 'Z':
		image, err := pe.NewFile(f)
		if err != nil {
			return nil, nil
		}
		return dll.Imports(image), nil
	}
	return nil, nil
}
