package plist

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// A List is a packing list: what one installation did, one entry a path, in the
// order of [ComparePaths].
type List struct {
	Name    string // of the package, without its version
	Version string
	Prefix  string // absolute path below which the package lives; "/" if it has no such place
	Notes   []Note
	Entries []Entry

	// What files alone do not tell, and installing them somewhere else needs.
	// Nil where nobody looked.
	Accounts           []Account
	Info               []InfoEntry
	Provides, Requires []Dependency
}

// An InfoEntry is an entry that the installation added to a directory of Info
// manuals, the file "dir".
type InfoEntry struct {
	Dir     string // entry path of that file
	Section string // the heading it is below; "" if there is none
	Text    string // its lines, without the last newline
	After   string // the line before it

	// Preamble is true of what is no entry but all that comes before the entries, in a
	// directory that the installation made. It is in Text.
	Preamble bool
}

// An Account is a user, group or login shell that the installation added.
type Account struct {
	Kind AccountKind
	Line string // "name:uid:gid:comment:home:shell", "name:gid:members", or a path
}

// AccountKind says which file an Account is of.
type AccountKind string

// The files that accounts are in.
const (
	AccountUser  AccountKind = "user"
	AccountGroup AccountKind = "group"
	AccountShell AccountKind = "shell"
)

// A Dependency is what others can find in a package, or it wants to find in
// others.
type Dependency struct {
	Kind    DependencyKind
	Name    string
	Version string // of a symbol set, or a relation and a number; "" if any will do
}

// DependencyKind says by what rules a Dependency is looked for.
type DependencyKind string

// The kinds of dependencies.
const (
	DependencySoname      DependencyKind = "soname"      // DT_SONAME, DT_NEEDED of an ELF object
	DependencyInterpreter DependencyKind = "interpreter" // of a program or script, an absolute path
	DependencyCommand     DependencyKind = "command"     // looked up in PATH
	DependencyDLL         DependencyKind = "dll"         // a name in the imports of a PE image, in lower case
	DependencyPkgConfig   DependencyKind = "pkg-config"  // a module
	DependencyObject      DependencyKind = "object"      // what runs objects of a format, "ELF64"; its Version is the machine
)

// A Note tells where a list can not be trusted to be whole: a weakness of this
// one run, not of the method.
type Note struct {
	Kind NoteKind
	Text string // one sentence for a person, without a period
}

// NoteKind is a word of the trust statement.
type NoteKind string

// What a Note may be about.
const (
	NoteHole     NoteKind = "hole"     // a place that was not watched
	NoteOutlived NoteKind = "outlived" // a process that was still running when the command had ended
	NoteLost     NoteKind = "lost"     // something seen that a list or tarball can not hold
	NoteShared   NoteKind = "shared"   // something of the host that was let in because the user asked
	NoteForeign  NoteKind = "foreign"  // something that changed meanwhile, but not by the command
)

var noteKinds = [...]NoteKind{NoteHole, NoteOutlived, NoteLost, NoteShared, NoteForeign}

// A Tree opens the content of a list's regular files by entry path.
//
// The caller closes the file. Some trees (a tarball read as a stream) can only
// be opened in the order of their list, each path once.
type Tree interface {
	Open(path string) (File, error)
}

// A File is what a Tree opens. An *os.File is one; so is a member of a tarball.
type File interface {
	Read([]byte) (int, error)
	Close() error
}

// DirTree is the Tree of a directory on disk.
type DirTree struct{ *os.Root }

// Open opens the named file below the directory.
func (t DirTree) Open(path string) (File, error) {
	f, err := t.Root.Open(path)
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// ComparePaths orders entry paths as a walk meets them that reads each directory
// in bytewise order: the root first, a directory right before all that is below
// it. It is bytewise order with "/" before every other byte.
func ComparePaths(a, b string) int {
	if a == "." || b == "." {
		return cmp.Compare(btoi(a != "."), btoi(b != "."))
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' {
			return -1
		}
		if b[i] == '/' {
			return +1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Sort puts the entries into the order of ComparePaths.
func (l *List) Sort() {
	slices.SortFunc(l.Entries, func(a, b Entry) int { return ComparePaths(a.Path, b.Path) })
}

// Find returns the entry of a path, or nil. The list must be sorted.
func (l *List) Find(path string) *Entry {
	i, ok := slices.BinarySearchFunc(l.Entries, path, func(e Entry, p string) int { return ComparePaths(e.Path, p) })
	if !ok {
		return nil
	}
	return &l.Entries[i]
}

// Brief makes of what is not packed a mere mention: its attributes (times,
// sizes, digests of caches and logs) differ from run to run. A hard link whose
// first name is not packed is repaired: the first packed name becomes the first
// name.
func (l *List) Brief() {
	first := make(map[string]string) // a name that hard links have -> the first packed one
	for i := range l.Entries {
		if e := &l.Entries[i]; e.IsHardlink() {
			first[e.Link] = ""
		}
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		_, linked := first[e.Path]
		switch {
		case !e.Packed():
			*e = Entry{Op: e.Op, Changed: e.Changed, Class: e.Class, Rule: e.Rule, Path: e.Path, Mode: e.Mode.Type()}
		case e.IsHardlink():
			body := first[e.Link]
			if body == "" {
				first[e.Link] = e.Path
			}
			e.Link = body
		case linked:
			first[e.Path] = e.Path
		}
	}
}

// Strip leaves only the entries that go into a package, hard links repaired as
// Brief does.
func (l *List) Strip() {
	l.Brief()
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool { return !e.Packed() })
}

// Packed returns a copy of l as Strip leaves it.
func (l *List) Packed() *List {
	out := *l
	out.Entries = slices.Clone(l.Entries)
	out.Strip()
	return &out
}

// ClampTimes sets every time after limit to limit, as SOURCE_DATE_EPOCH's
// specification wants it.
func (l *List) ClampTimes(limit time.Time) {
	for i := range l.Entries {
		if l.Entries[i].ModTime.After(limit) {
			l.Entries[i].ModTime = limit
		}
	}
}

// Within reports whether path is dir or lies below it. All lie below ".".
func Within(path, dir string) bool {
	return dir == "." || strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// CheckPath reports why s can not be an Entry.Path, or nil.
func CheckPath(s string) error {
	switch {
	case s == "":
		return errors.New("empty path")
	case s == ".":
		return nil
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("path %q: holds a NUL byte", s)
	}
	for elem := range strings.SplitSeq(s, "/") {
		if elem == "" || elem == "." || elem == ".." {
			return fmt.Errorf("path %q: not clean and relative", s)
		}
	}
	return nil
}

// Validate reports the first thing that no method may produce and no consumer
// need cope with: an unclean or repeated path, wrong order, a field that its
// kind of file does not have, a hard link to no earlier entry, or an entry that
// is there below one that is no directory.
//
// A Prefix or Name that is not set yet is no error.
func (l *List) Validate() error {
	if l.Prefix != "" && (l.Prefix[0] != '/' || path.Clean(l.Prefix) != l.Prefix) {
		return fmt.Errorf("prefix %q: not clean and absolute", l.Prefix)
	}
	for _, a := range l.Accounts {
		if a.Kind != AccountUser && a.Kind != AccountGroup && a.Kind != AccountShell {
			return fmt.Errorf("unknown kind of account %q", a.Kind)
		}
	}
	for _, e := range l.Info {
		if err := CheckPath(e.Dir); err != nil {
			return err
		}
		if e.Preamble && e.Section+e.After != "" {
			return errors.New("an Info directory begins with a section")
		}
	}
	for _, n := range l.Notes {
		if !slices.Contains(noteKinds[:], n.Kind) {
			return fmt.Errorf("unknown kind of note %q", n.Kind)
		}
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if i > 0 && ComparePaths(l.Entries[i-1].Path, e.Path) >= 0 {
			return fmt.Errorf("path %q: after %q, out of order", e.Path, l.Entries[i-1].Path)
		}
		if err := e.check(l.Entries[:i]); err != nil {
			return fmt.Errorf("path %q: %w", e.Path, err)
		}
	}
	return l.checkParents()
}

// check validates e alone and as a hard link to one of the entries before it.
func (e *Entry) check(before []Entry) error {
	typ := e.Mode.Type()
	switch {
	case e.Op < OpAdd || e.Op > OpDelete:
		return errors.New("no operation")
	case int(e.Class) >= len(classNames):
		return errors.New("unknown class")
	case typeNames[typ] == "" || e.Mode != ModeFromUnix(UnixMode(e.Mode)):
		return errors.New("unknown kind of file")
	case e.Path == "." && (e.Op == OpDelete || typ != fs.ModeDir):
		return errors.New("the root is a directory that stays")
	case !e.Described():
		want := Entry{Op: e.Op, Changed: e.Changed, Class: e.Class, Rule: e.Rule, Path: e.Path, Mode: typ, By: e.By}
		if e.Op == OpDelete && (typ == 0 || typ == fs.ModeSymlink) {
			want.Digest = e.Digest
		}
		if !e.Same(&want) {
			return errors.New("attributes of a path that is gone or only mentioned")
		}
		if e.Op != OpDelete && e.Packed() {
			return errors.New("a packed path without a time")
		}
		return nil
	case e.Op == OpAdd && e.Changed != 0:
		return errors.New("an addition has nothing to differ from")
	case e.Was != nil && (e.Changed&(ChangedContent|ChangedType) == 0 || e.Was.Old != nil && !e.Mode.IsRegular()):
		return errors.New("only changed content was something else, and only a text can tell its lines")
	case !e.Was.inOrder():
		return errors.New("old lines out of order")
	case typ == fs.ModeSymlink && (e.Link == "" || strings.ContainsRune(e.Link, 0)):
		return errors.New("a symlink without target, or with a NUL byte in it")
	case typ == fs.ModeDir && e.Link != "":
		return errors.New("a directory is no hard link")
	case !e.Mode.IsRegular() && (e.Size != 0 || e.Digest != Digest{} || e.Rebased != nil):
		return errors.New("only a regular file has a size and a digest, and is rebased")
	case typ&fs.ModeDevice == 0 && (e.Major != 0 || e.Minor != 0):
		return errors.New("only a device has a device number")
	case e.Size < 0:
		return errors.New("negative size")
	}
	for name := range e.Xattrs {
		if name == "" || strings.ContainsRune(name, 0) {
			return fmt.Errorf("extended attribute %q: no name that can be", name)
		}
	}
	if e.IsHardlink() {
		if body := (&List{Entries: before}).Find(e.Link); body == nil || body.IsHardlink() || !e.sameInode(body) {
			return fmt.Errorf("hard link to %q, which is no earlier entry of the same attributes", e.Link)
		}
	}
	return nil
}

// inOrder reports whether the old lines can be put back one after the other.
func (w *Was) inOrder() bool {
	if w == nil {
		return true
	}
	next := 0
	for _, o := range w.Old {
		if o.At < next || o.At > math.MaxInt32 || o.Count < 0 || o.Count > math.MaxInt32 || o.Count == 0 && o.Text == "" {
			return false
		}
		next = o.At + o.Count
	}
	return true
}

// sameInode reports whether e repeats the attributes of its first name.
func (e *Entry) sameInode(body *Entry) bool {
	want := *body
	want.Op, want.Changed, want.Class, want.Rule, want.Path, want.Link, want.Was, want.By = e.Op, e.Changed, e.Class, e.Rule, e.Path, e.Link, e.Was, e.By
	return e.Same(&want)
}

// checkParents reports an entry that exists below an entry that is no directory.
func (l *List) checkParents() error {
	var above []*Entry // the entries that hold the current path, outermost first
	for i := range l.Entries {
		e := &l.Entries[i]
		for len(above) > 0 && !Within(e.Path, above[len(above)-1].Path) {
			above = above[:len(above)-1]
		}
		if len(above) > 0 && e.Op != OpDelete {
			if p := above[len(above)-1]; p.Op == OpDelete || !p.Mode.IsDir() {
				return fmt.Errorf("path %q: below %q, which is no directory", e.Path, p.Path)
			}
		}
		above = append(above, e)
	}
	return nil
}
