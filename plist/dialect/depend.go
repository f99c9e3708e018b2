package dialect

import (
	"bytes"
	"cmp"
	"debug/elf"
	"debug/pe"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/internal/dll"
	"github.com/sandbox-install/sandbox-install/plist"
)

// depends reports whether others may depend on a file, or it on others, by its
// name and mode: to record that must not cost a look into each file.
func depends(e *plist.Entry) bool {
	if e.Mode&0o111 != 0 {
		return true
	}
	base := strings.ToLower(path.Base(e.Path))
	return strings.Contains(base, ".so") || strings.HasSuffix(base, ".pc") || strings.HasSuffix(base, ".dll") || strings.HasSuffix(base, ".exe")
}

// Depend records in l what its files provide to others, and what they require
// that no file of l provides. Of the files that can be objects, scripts or .pc
// files it reads the first bytes, and of objects what these point to.
func Depend(l *plist.List, tree plist.Tree) error {
	facts, err := inspect(l, tree, depends)
	if err == nil {
		facts.Depend(l)
	}
	return err
}

// Depend records in l what its files provide to others, and what they require
// that no file of l provides.
func (f Facts) Depend(l *plist.List) {
	provided := make(map[string]bool)
	l.Provides, l.Requires = nil, nil
	var required []plist.Dependency
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.Packed() || !listed(e) {
			continue
		}
		provided[dependencyKey(plist.DependencyInterpreter, "/"+e.Path)] = true
		if e.Mode&0o111 != 0 && !e.Mode.IsDir() {
			provided[dependencyKey(plist.DependencyCommand, path.Base(e.Path))] = true
		}
		fact := f[e.Path]
		if fact == nil || !depends(e) {
			continue
		}
		l.Provides = append(l.Provides, fact.Provides...)
		required = append(required, fact.Requires...)
		if fact.Format != "" {
			required = append(required, plist.Dependency{Kind: plist.DependencyObject, Name: fact.Format, Version: fact.Machine})
		}
		for _, d := range fact.Provides {
			provided[dependencyKey(d.Kind, d.Name)] = true
		}
	}
	for _, d := range required {
		if !provided[dependencyKey(d.Kind, d.Name)] {
			l.Requires = append(l.Requires, d)
		}
	}
	l.Provides, l.Requires = sortDependencies(l.Provides), sortDependencies(l.Requires)
}

func dependencyKey(kind plist.DependencyKind, name string) string { return string(kind) + " " + name }

func sortDependencies(d []plist.Dependency) []plist.Dependency {
	slices.SortFunc(d, func(a, b plist.Dependency) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return slices.Compact(d)
}

// elfDependencies sets what an object provides by its soname, and requires by
// DT_NEEDED, with the symbol versions that it wants of each.
func (fact *Fact) elfDependencies(f *elf.File) {
	if fact.Soname != "" {
		fact.provide(plist.DependencySoname, fact.Soname, "")
	}
	versions := make(map[string]bool) // needed names that have some
	needs, err := f.DynamicVersionNeeds()
	if err == nil { // an object without versions is no error of ours
		for _, need := range needs {
			for _, v := range need.Needs {
				versions[need.Name] = true
				fact.require(plist.DependencySoname, need.Name, v.Dep)
			}
		}
	}
	for _, name := range fact.Needed {
		if !versions[name] {
			fact.require(plist.DependencySoname, name, "")
		}
	}
	if fact.Interp != "" {
		fact.require(plist.DependencyInterpreter, fact.Interp, "")
	}
}

func (fact *Fact) provide(kind plist.DependencyKind, name, version string) {
	fact.Provides = append(fact.Provides, plist.Dependency{Kind: kind, Name: name, Version: version})
}

func (fact *Fact) require(kind plist.DependencyKind, name, version string) {
	fact.Requires = append(fact.Requires, plist.Dependency{Kind: kind, Name: name, Version: version})
}

// scriptDependencies sets what the line behind "#!" asks for; env(1) looks the
// program up.
func (fact *Fact) scriptDependencies(words []string) {
	if len(words) == 0 {
		return
	}
	fact.require(plist.DependencyInterpreter, words[0], "")
	if path.Base(words[0]) != "env" {
		return
	}
	for _, word := range words[1:] {
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			fact.require(plist.DependencyCommand, word, "")
			return
		}
	}
}

var (
	pkgconfigVersion  = regexp.MustCompile(`(?m)^Version:[ \t]*(.*)$`)
	pkgconfigRequires = regexp.MustCompile(`(?m)^Requires(?:\.private)?:[ \t]*(.*)$`)
	pkgconfigModule   = regexp.MustCompile(`([^ \t,<>=!]+)[ \t]*(?:([<>=!]+)[ \t]*([^ \t,]+))?`)
)

// pkgconfigDependencies reads the fields of a .pc file. Versions that are
// variables of the file are left out.
func (fact *Fact) pkgconfigDependencies(e *plist.Entry, text []byte) {
	version := ""
	if m := pkgconfigVersion.FindSubmatch(text); m != nil && !bytes.Contains(m[1], []byte("$")) {
		version = "= " + strings.TrimSpace(string(m[1]))
	}
	fact.provide(plist.DependencyPkgConfig, strings.TrimSuffix(path.Base(e.Path), ".pc"), version)
	for _, m := range pkgconfigRequires.FindAllSubmatch(text, -1) {
		for _, module := range pkgconfigModule.FindAllStringSubmatch(string(m[1]), -1) {
			if !strings.Contains(module[0], "$") {
				fact.require(plist.DependencyPkgConfig, module[1], strings.TrimSpace(module[2]+" "+module[3]))
			}
		}
	}
}

// inspectPE returns nil for what begins as a PE image and is none. Names of DLLs
// are without case.
func inspectPE(e *plist.Entry, r io.ReaderAt) *Fact {
	f, err := pe.NewFile(r)
	if err != nil || f.OptionalHeader == nil {
		return nil
	}
	fact := &Fact{Format: "PE32", Machine: peMachines[f.Machine]}
	if _, ok := f.OptionalHeader.(*pe.OptionalHeader64); ok {
		fact.Format = "PE32+"
	}
	if f.Characteristics&pe.IMAGE_FILE_DLL != 0 {
		fact.provide(plist.DependencyDLL, strings.ToLower(path.Base(e.Path)), "")
	}
	for _, name := range dll.Imports(f) {
		fact.require(plist.DependencyDLL, strings.ToLower(name), "")
	}
	return fact
}

var peMachines = map[uint16]string{
	pe.IMAGE_FILE_MACHINE_I386: "i386", pe.IMAGE_FILE_MACHINE_AMD64: "x86_64", pe.IMAGE_FILE_MACHINE_ARM64: "aarch64",
	pe.IMAGE_FILE_MACHINE_ARMNT: "arm",
}

// BuildInfo returns the lines of pkgsrc's +BUILD_INFO that are about objects, in
// its order: the format, the libraries by path, and what is required of other
// packages. That is a soname here: only the target's linker knows its path.
func (f Facts) BuildInfo(l *plist.List) []string {
	lines := make(map[string]bool)
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.Packed() || !listed(e) {
			continue
		}
		target := e.Path
		if isSymlink(e) {
			target = path.Join(path.Dir(e.Path), e.Link)
		}
		fact := f[target]
		if fact != nil && fact.Type == TypeLibrary {
			lines["PROVIDES=/"+e.Path] = true
		}
	}
	for _, d := range l.Requires {
		switch d.Kind {
		case plist.DependencySoname:
			lines["REQUIRES="+d.Name] = true
		case plist.DependencyObject:
			lines["OBJECT_FMT="+strings.TrimRight(d.Name, "0123456789+")] = true
		}
	}
	return slices.Sorted(maps.Keys(lines))
}
