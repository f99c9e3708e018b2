package plist

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// Op says what the installation did to a path.
type Op uint8

// The three things that can happen to a path. A rename is a deletion and an
// addition; a change of type is a modification with [ChangedType].
const (
	OpAdd Op = iota + 1
	OpModify
	OpDelete
)

// A Digest is the BLAKE3-256 of a regular file's content, holes read as zeros.
type Digest [32]byte

// String returns the digest as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Change is the set of what differs between a path before and after, when Op
// is OpModify.
type Change uint8

// The members of a Change. A change of type implies nothing about the rest:
// only ChangedType is set then, since the old attributes belong to another kind
// of file.
const (
	ChangedContent Change = 1 << iota // bytes, symlink target or device number
	ChangedMode                       // permission, set-id and sticky bits
	ChangedOwner                      // uid or gid
	ChangedTime                       // modification time of a file that is no directory
	ChangedXattr                      // extended attributes, ACLs and capabilities among them
	ChangedFlags                      // inode flags (chattr)
	ChangedType                       // file to directory, symlink to file ...
	ChangedLinks                      // unchanged itself, but it was given a new hard link
)

// changeNames are the words of the native text form, in bit order.
var changeNames = [...]string{"content", "mode", "owner", "time", "xattr", "flags", "type", "links"}

// String returns the members' names, comma-separated, in a fixed order.
func (c Change) String() string {
	var names []string
	for i, name := range changeNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// parseChange is the inverse of Change.String.
func parseChange(s string) (Change, error) {
	var c Change
	for name := range strings.SplitSeq(s, ",") {
		bit := Change(0)
		for i, known := range changeNames {
			if name == known {
				bit = 1 << i
			}
		}
		if bit == 0 || c&bit != 0 {
			return 0, fmt.Errorf("change %q: unknown or repeated word", s)
		}
		c |= bit
	}
	return c, nil
}

// Class says what an entry is to a package. It is found after the capture, by
// the named rules of package capture, and may be found again.
type Class uint8

// The classes. Only ClassChanged is packed.
const (
	ClassChanged   Class = iota // belongs to the package
	ClassIdentical              // written, but as it was before
	ClassShared                 // belongs to no single package, or is generated on each machine
	ClassNoise                  // a left-over: temporary files, caches, the build directory
	ClassOutside                // not below the prefix the package is to live in
)

var classNames = [...]string{"changed", "identical", "shared", "noise", "outside"}

// String returns the class in one lower-case word.
func (c Class) String() string { return classNames[c] }

// parseClass is the inverse of Class.String.
func parseClass(s string) (Class, error) {
	for i, name := range classNames {
		if s == name {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("unknown class %q", s)
}

// An Entry is one path that an installation added, modified or deleted, as it
// is afterwards.
//
// Of a deleted path only Op, Path, Class, Rule, the type bits of Mode and Digest are
// set, the last two of what was there: see Was. An entry that is not packed may be only mentioned
// (see [List.Brief]): then too, with Changed, nothing else is set.
//
// To add a field: add it here, in [Entry.Same], in the native form (native.go
// and native_read.go, and its fuzz seeds), and in package tarball if a tar reader
// should restore it.
type Entry struct {
	Op      Op
	Changed Change // what differs, when Op is OpModify; zero if nothing does
	Class   Class

	// By tells which program wrote the path last: its argv[0], that of its parent, and
	// so on to the command's own. Nil if that was not asked for, or nobody saw.
	By []string

	// Flags are the inode flags of FS_IOC_GETFLAGS (linux/fs.h) that a user may
	// set and that do not only describe the file system's own layout.
	Flags uint32

	Rule string // the rule that chose Class; "" for ClassChanged by default

	// Path is relative to the root: slash-separated, clean, raw bytes, never
	// absolute and never through "..". The root itself is ".".
	Path string

	Mode    fs.FileMode // type, permission, setuid, setgid and sticky bits
	UID     uint32
	GID     uint32
	ModTime time.Time // nanoseconds where the file system has them; the zero Time if not Described
	Size    int64     // of a regular file, in bytes
	Digest  Digest    // of a regular file; of a deleted path see Was

	// Link is a symlink's target, in raw bytes; or, for a regular file, fifo or
	// device that is a hard link, the Path of its first name in the list. The
	// first name itself has no Link. Hard-linked entries repeat all attributes.
	Link string

	Major, Minor uint32 // of a device

	// Xattrs are extended attributes by full name ("user.x",
	// "security.capability", "system.posix_acl_access"), values as the kernel
	// gives them. Nil if there are none.
	Xattrs map[string]string

	// Rebased declares that the content is not the one the installation wrote,
	// since package rebase moved the image. Nil for all other files.
	Rebased *Rebased

	// Was is what a modified path held before, if its content or type changed and it
	// held something that can be told. A deleted path has that as its Digest. Nil and
	// zero mean that it is not known.
	Was *Was
}

// Was is what a path held before it was modified: so that who does the same
// elsewhere can tell whether he meets the same, and else how to do it.
type Was struct {
	Digest Digest // of a regular file's content, or of a symlink's target

	// Old tells the whole content that was, if both it and the new one are texts:
	// the lines that stood in the place of some of the new one's. They are in the
	// order of At, and do not overlap. Nil if that is not told.
	Old []OldLines
}

// OldLines is a place where a text was another: Count lines of the new one, after
// the first At, stand where Text was.
type OldLines struct {
	At, Count int
	Text      string // whole lines, but for the last of a file
}

// Rebased says what a moved PE image was before.
type Rebased struct {
	From, To uint64 // image bases, as captured and as it is now
	Digest   Digest // of the content as captured
}

// IsHardlink reports whether e is a second or later name of another entry.
func (e *Entry) IsHardlink() bool { return e.Link != "" && e.Mode.Type() != fs.ModeSymlink }

// HasContent reports whether e is the name under which a regular file's bytes
// are kept: a regular file that is neither deleted nor a later hard link.
func (e *Entry) HasContent() bool {
	return e.Described() && e.Mode.IsRegular() && e.Link == ""
}

// Described reports whether e's attributes are set: it exists, and is not only
// mentioned.
func (e *Entry) Described() bool { return e.Op != OpDelete && !e.ModTime.IsZero() }

// Packed reports whether e goes into a package.
func (e *Entry) Packed() bool { return e.Class == ClassChanged }

// Same reports whether two entries say the same.
func (e *Entry) Same(o *Entry) bool {
	return e.Op == o.Op && e.Changed == o.Changed && e.Class == o.Class && e.Rule == o.Rule &&
		e.Path == o.Path && e.Mode == o.Mode && e.UID == o.UID && e.GID == o.GID &&
		e.ModTime.Equal(o.ModTime) && e.Size == o.Size && e.Digest == o.Digest && e.Link == o.Link &&
		e.Major == o.Major && e.Minor == o.Minor && e.Flags == o.Flags && e.Rebased.same(o.Rebased) && e.Was.same(o.Was) && maps.Equal(e.Xattrs, o.Xattrs) &&
		slices.Equal(e.By, o.By)
}

func (r *Rebased) same(o *Rebased) bool { return r == o || r != nil && o != nil && *r == *o }

func (w *Was) same(o *Was) bool {
	return w == o || w != nil && o != nil && w.Digest == o.Digest && slices.Equal(w.Old, o.Old)
}

// unixModeBits pairs the bits of st_mode (inode(7)) with those of fs.FileMode.
var unixModeBits = [...]struct {
	unix uint32
	mode fs.FileMode
}{
	{0o4000, fs.ModeSetuid},
	{0o2000, fs.ModeSetgid},
	{0o1000, fs.ModeSticky},
}

// unixTypes pairs S_IFMT values (inode(7)) with types of fs.FileMode.
var unixTypes = [...]struct {
	unix uint32
	mode fs.FileMode
}{
	{0o100000, 0},
	{0o040000, fs.ModeDir},
	{0o120000, fs.ModeSymlink},
	{0o060000, fs.ModeDevice},
	{0o020000, fs.ModeDevice | fs.ModeCharDevice},
	{0o010000, fs.ModeNamedPipe},
	{0o140000, fs.ModeSocket},
}

// ModeFromUnix turns a st_mode of stat(2) into an fs.FileMode. An unknown type
// becomes fs.ModeIrregular.
func ModeFromUnix(st uint32) fs.FileMode {
	mode := fs.FileMode(st & 0o777)
	for _, b := range unixModeBits {
		if st&b.unix != 0 {
			mode |= b.mode
		}
	}
	for _, t := range unixTypes {
		if st&0o170000 == t.unix {
			return mode | t.mode
		}
	}
	return mode | fs.ModeIrregular
}

// UnixPerm returns the twelve low bits of a st_mode: permission, set-id and
// sticky.
func UnixPerm(mode fs.FileMode) uint32 {
	st := uint32(mode.Perm())
	for _, b := range unixModeBits {
		if mode&b.mode != 0 {
			st |= b.unix
		}
	}
	return st
}

// UnixMode is the inverse of ModeFromUnix.
func UnixMode(mode fs.FileMode) uint32 {
	for _, t := range unixTypes {
		if mode.Type() == t.mode {
			return t.unix | UnixPerm(mode)
		}
	}
	return UnixPerm(mode)
}
