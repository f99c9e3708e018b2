package dialect

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Fact is what the content of a regular file tells.
type Fact struct {
	Type Type

	// Of an object (ELF, PE): its format and machine; of ELF the name for others,
	// what it asks for by name (DT_NEEDED), and its dynamic linker.
	Format  string
	Machine string
	Soname  string
	Needed  []string
	Interp  string // also of a script: the program behind "#!"

	Provides, Requires []plist.Dependency

	Covers    []string // of a libtool archive or a .packlist: the files it accounts for, in its directory or absolute
	MIMETypes []string // of a desktop file: the MIME types it opens
	Generated string   // why no list may hold it; "" if one may
}

// Facts are by entry path. A file without any has none.
type Facts map[string]*Fact

// headSize is how much of each file is read to know what it is.
const headSize = 4096

// Inspect reads what l packs, in the order of the list and each file once.
func Inspect(l *plist.List, tree plist.Tree) (Facts, error) {
	return inspect(l, tree, func(*plist.Entry) bool { return true })
}

func inspect(l *plist.List, tree plist.Tree, wanted func(*plist.Entry) bool) (Facts, error) {
	facts := make(Facts)
	head := make([]byte, headSize)
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.Packed() || !e.HasContent() || !wanted(e) {
			continue
		}
		fact, err := inspectFile(e, tree, head)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		if fact != nil {
			facts[e.Path] = fact
		}
	}
	for i := range l.Entries { // a hard link is the same file
		if e := &l.Entries[i]; e.IsHardlink() && facts[e.Link] != nil {
			facts[e.Path] = facts[e.Link]
		}
	}
	return facts, nil
}

// inspectFile uses head to read into; the fact keeps nothing of it.
func inspectFile(e *plist.Entry, tree plist.Tree, head []byte) (*Fact, error) {
	f, err := tree.Open(e.Path)
	if err != nil {
		return nil, err
	}
	fact, err := inspectContent(e, f, head)
	return fact, errors.Join(err, f.Close())
}

// inspectContent reads of an object what its headers point to, a .packlist whole,
// and of anything else the first bytes.
func inspectContent(e *plist.Entry, r io.Reader, head []byte) (*Fact, error) {
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	head = head[:n]
	var object func(*plist.Entry, io.ReaderAt) *Fact
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		object = inspectELF
	case bytes.HasPrefix(head, []byte("MZ")):
		object = inspectPE
	case path.Base(e.Path) != ".packlist":
		return inspectText(e, head), nil
	}
	if at, ok := r.(io.ReaderAt); ok && object != nil {
		return object(e, at), nil
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	content := slices.Concat(head, rest)
	if object == nil {
		return inspectPacklist(content), nil
	}
	return object(e, bytes.NewReader(content)), nil
}

// inspectPacklist reads the list that ExtUtils::Packlist writes: a path a line,
// maybe with attributes behind it.
func inspectPacklist(content []byte) *Fact {
	fact := &Fact{}
	for line := range strings.Lines(string(content)) {
		if name, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); strings.HasPrefix(name, "/") {
			fact.Covers = append(fact.Covers, name)
		}
	}
	return fact
}

// inspectELF returns nil for what begins as an ELF file and is none.
func inspectELF(e *plist.Entry, r io.ReaderAt) *Fact {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil
	}
	fact := &Fact{
		Format:  strings.TrimPrefix(f.Class.String(), "ELFCLASS"),
		Machine: strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_")),
		Needed:  dynamic(f, elf.DT_NEEDED),
	}
	fact.Format = "ELF" + fact.Format
	if names := dynamic(f, elf.DT_SONAME); len(names) > 0 {
		fact.Soname = names[0]
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			// A corrupt one is no interpreter.
			b, err := io.ReadAll(io.LimitReader(p.Open(), headSize))
			if err == nil {
				fact.Interp = strings.TrimRight(string(b), "\x00")
			}
		}
	}
	fact.Type = objectType(f.Type, fact, e)
	fact.elfDependencies(f)
	return fact
}

// dynamic returns nil too where the dynamic section is corrupt: such a file is
// no one's dependency.
func dynamic(f *elf.File, tag elf.DynTag) []string {
	names, err := f.DynString(tag)
	if err != nil {
		return nil
	}
	return names
}

// sharedName is how linkers find a library.
var sharedName = regexp.MustCompile(`^lib.+\.so(\.[0-9]+)*$`)

// objectType tells a position-independent program from a shared object by its
// interpreter, and a library by a name that linkers look for.
func objectType(typ elf.Type, fact *Fact, e *plist.Entry) Type {
	base := path.Base(e.Path)
	switch {
	case typ == elf.ET_EXEC:
		return TypeProgram
	case typ != elf.ET_DYN:
		return ""
	case sharedName.MatchString(base) && fact.Soname != "":
		return TypeLibrary
	case fact.Interp != "" && !strings.Contains(base, ".so"):
		return TypeProgram
	case e.Mode&0o111 != 0 && fact.Soname == "" && !strings.Contains(base, "."): // static, position-independent
		return TypeProgram
	}
	return TypePlugin
}

// manPage is the path of a manual page, maybe compressed, maybe of a language.
var manPage = regexp.MustCompile(`(^|/)man/([^/]+/)?(man|cat)[1-9ln][^/]*/[^/]+\.([1-9ln][a-zA-Z0-9]*|0)(\.(gz|bz2|xz|Z|zst))?$`)

// inspectText knows the rest by their first bytes, a few with the help of their
// names.
func inspectText(e *plist.Entry, head []byte) *Fact {
	base := path.Base(e.Path)
	switch {
	case bytes.HasPrefix(head, []byte("!<arch>\n")) && strings.HasSuffix(base, ".a"):
		return &Fact{Type: TypeArchive}
	case strings.HasSuffix(base, ".la") && bytes.Contains(head, []byte("libtool library file")):
		return &Fact{Type: TypeLibtool, Covers: libtoolNames(head)}
	case strings.HasSuffix(base, ".pc") && bytes.Contains(head, []byte("\nVersion:")):
		fact := &Fact{Type: TypePkgconfig}
		fact.pkgconfigDependencies(e, head)
		return fact
	case strings.HasSuffix(base, ".desktop") && bytes.Contains(head, []byte("[Desktop Entry]")):
		return &Fact{MIMETypes: desktopTypes(head)}
	case manPage.MatchString(e.Path):
		return &Fact{Type: TypeMan}
	case base == "dir" && bytes.Contains(head, []byte("File: dir,")):
		return &Fact{Generated: "the directory of info files is each machine's own"}
	case bytes.Contains(head[:min(len(head), 512)], []byte("produced by makeinfo")):
		return &Fact{Type: TypeInfo}
	case bytes.HasPrefix(head, []byte("#!")):
		return inspectScript(e, head)
	case len(head) == 0 && strings.HasSuffix(base, ".bs"):
		return &Fact{Generated: "an empty bootstrap file of a Perl module"}
	}
	return nil
}

func inspectScript(e *plist.Entry, head []byte) *Fact {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	fact := &Fact{}
	if len(words) > 0 {
		fact.Interp = words[0]
	}
	if e.Mode&0o111 != 0 {
		fact.scriptDependencies(words)
	}
	if strings.Contains("/"+e.Path, "/rc.d/") {
		fact.Type = TypeRCScript
	}
	return fact
}

// libtoolName finds the shell assignments of a libtool archive that name files.
var libtoolName = regexp.MustCompile(`(?m)^(?:library_names|old_library|dlname)='([^']*)'`)

func libtoolNames(head []byte) []string {
	var names []string
	for _, m := range libtoolName.FindAllSubmatch(head, -1) {
		names = append(names, strings.Fields(string(m[1]))...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var desktopMime = regexp.MustCompile(`(?m)^MimeType=(.+)$`)

func desktopTypes(head []byte) []string {
	m := desktopMime.FindSubmatch(head)
	if m == nil {
		return nil
	}
	return strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == ';' || r == ' ' })
}

// isSymlink reports whether e is a symbolic link.
func isSymlink(e *plist.Entry) bool { return e.Mode.Type() == fs.ModeSymlink }
