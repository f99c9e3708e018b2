package tarball

import (
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

const blockSize = 512

// zeros is what padding, the end of an archive and holes are made of.
var zeros [64 << 10]byte

// padding is the number of bytes from n to the next block.
func padding(n int64) int64 { return -n & (blockSize - 1) }

// A member is an entry as it stands in an archive.
type member struct {
	*plist.Entry
	comment string // a pax comment; only the list has one
	sparse  bool
	stored  int64 // bytes between this header and the next, if sparse
}

// isMember reports whether e is in an archive, not in its list only. Sockets are
// not: tar has no type for them; nor is what has the list's own place, unless it is to
// be packed, which is an error.
func isMember(e *plist.Entry, full bool) bool {
	return e.Described() && e.Mode.Type() != fs.ModeSocket && (e.Packed() || full && !plist.Within(e.Path, ListName))
}

// size is what m says of the bytes that follow it.
func (m *member) size() int64 {
	switch {
	case m.sparse:
		return m.stored
	case m.HasContent():
		return m.Size
	}
	return 0
}

// typeflags are the types of a ustar header.
var typeflags = map[fs.FileMode]byte{
	0:                                 '0',
	fs.ModeSymlink:                    '2',
	fs.ModeDevice | fs.ModeCharDevice: '3',
	fs.ModeDevice:                     '4',
	fs.ModeDir:                        '5',
	fs.ModeNamedPipe:                  '6',
}

func (m *member) typeflag() byte {
	if m.IsHardlink() {
		return '1'
	}
	return typeflags[m.Mode.Type()]
}

// name is m's name in the archive: that of a directory ends in a slash.
func (m *member) name() string {
	if m.Mode.IsDir() {
		return safeName(m.Path) + "/"
	}
	return safeName(m.Path)
}

// linkname is what m links to, as it stands in the archive.
func (m *member) linkname() string {
	if m.IsHardlink() {
		return safeName(m.Link)
	}
	return m.Link
}

// safeName puts ./ before a path that bsdtar takes for one of Windows, to make it
// relative by cutting off a drive letter or backslashes.
func safeName(path string) string {
	if path[0] == '\\' || len(path) > 1 && path[1] == ':' {
		return "./" + path
	}
	return path
}

// appendHeader appends to b all blocks that come before m's content: the extended
// header, if there are records, and the ustar header.
func (m *member) appendHeader(b []byte) []byte {
	start := len(b)
	b = m.appendRecords(append(b, zeros[:blockSize]...))
	if n := int64(len(b) - start - blockSize); n > 0 {
		x := (*block)(b[start:])
		x.setName("././@PaxHeader") // which means nothing; the same as in Python's tarfile
		x.number(sizeField, n)
		x.finish('x')
		b = append(b, zeros[:padding(n)]...)
		start = len(b)
		b = append(b, zeros[:blockSize]...)
	}
	u := (*block)(b[start:])
	u.setName(m.fieldName())
	copy(u[linkField.off:][:linkField.len], m.linkname())
	u.number(modeField, int64(plist.UnixPerm(m.Mode)))
	u.number(uidField, int64(m.UID))
	u.number(gidField, int64(m.GID))
	u.number(sizeField, m.size())
	u.number(mtimeField, m.ModTime.Unix())
	u.number(majorField, int64(m.Major))
	u.number(minorField, int64(m.Minor))
	u.finish(m.typeflag())
	return b
}

// fieldName is the name for the ustar header. Of a sparse file it is one that a
// reader which does not know GNU.sparse.name can not mistake for the file.
func (m *member) fieldName() string {
	if m.sparse {
		return "GNUSparseFile.0/" + m.Path[strings.LastIndexByte(m.Path, '/')+1:]
	}
	return m.name()
}

// appendRecords appends the pax records (pax(1), "pax Extended Header") of all
// that the ustar header can not hold.
//
// A name stays out of them if it can, whatever its bytes: in a record it would
// be UTF-8, which GNU tar converts to the locale, and bsdtar normalizes (NFC).
func (m *member) appendRecords(b []byte) []byte {
	_, _, fits := splitName(m.name())
	longLink := len(m.linkname()) > linkField.len
	if !fits && !isASCII(m.name()) || longLink && !isASCII(m.linkname()) || m.sparse && !isASCII(m.Path) {
		b = appendRecord(b, "hdrcharset", "BINARY") // bsdtar obeys; GNU tar warns and goes on
	}
	if m.comment != "" {
		b = appendRecord(b, "comment", m.comment)
	}
	switch {
	case m.sparse:
		b = appendRecord(b, "GNU.sparse.major", "1")
		b = appendRecord(b, "GNU.sparse.minor", "0")
		b = appendRecord(b, "GNU.sparse.name", m.name())
		b = appendRecord(b, "GNU.sparse.realsize", strconv.FormatInt(m.Size, 10))
	case !fits:
		b = appendRecord(b, "path", m.name())
	}
	if longLink {
		b = appendRecord(b, "linkpath", m.linkname())
	}
	b = appendNumber(b, "size", sizeField, m.size())
	b = appendNumber(b, "uid", uidField, int64(m.UID))
	b = appendNumber(b, "gid", gidField, int64(m.GID))
	if m.ModTime.Nanosecond() != 0 || !mtimeField.octal(m.ModTime.Unix()) {
		b = appendRecord(b, "mtime", formatTime(m.ModTime))
	}
	if m.IsHardlink() {
		return b // the rest belongs to the inode, which is there already
	}
	if text := flagText(m.Flags); text != "" {
		b = appendRecord(b, "SCHILY.fflags", text)
	}
	if len(m.Xattrs) == 0 { // as most: save the work
		return b
	}
	for _, name := range slices.Sorted(maps.Keys(m.Xattrs)) {
		b = appendXattr(b, name, m.Xattrs[name])
	}
	return b
}

// xattrName writes a name so that no "=" in it ends the keyword, as GNU tar does
// and undoes. bsdtar 3.6 takes it literally.
var xattrName = strings.NewReplacer("%", "%25", "=", "%3D")

func appendXattr(b []byte, name, value string) []byte {
	if keyword, ok := aclKeywords[name]; ok {
		if text, ok := aclText(value); ok {
			return appendRecord(b, keyword, text)
		}
	}
	return appendRecord(b, "SCHILY.xattr."+xattrName.Replace(name), value)
}

// appendNumber appends a record if v does not fit into its field.
func appendNumber(b []byte, keyword string, f field, v int64) []byte {
	if f.octal(v) {
		return b
	}
	return appendRecord(b, keyword, strconv.FormatInt(v, 10))
}

// appendRecord appends "length keyword=value\n"; the length counts its own digits.
func appendRecord(b []byte, keyword, value string) []byte {
	rest := len(keyword) + len(value) + len(" =\n")
	n := rest
	for n != rest+len(strconv.Itoa(n)) {
		n = rest + len(strconv.Itoa(n))
	}
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(append(b, ' '), keyword...)
	b = append(append(b, '='), value...)
	return append(b, '\n')
}

// formatTime writes a decimal number of seconds since 1970, as pax(1) has it: a
// quarter of a second before is -0.25. GNU tar reads that right; bsdtar 3.6 gives
// the fraction the wrong sign.
func formatTime(t time.Time) string {
	sec, nsec, sign := t.Unix(), int64(t.Nanosecond()), ""
	if sec < 0 && nsec > 0 {
		sec, nsec, sign = -(sec + 1), 1e9-nsec, "-"
	}
	s := sign + strconv.FormatInt(sec, 10)
	if nsec > 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(1e9+nsec, 10)[1:], "0")
	}
	return s
}

// splitName splits a name into the prefix and name fields of a ustar header,
// between which a reader puts a slash. If it can not be split so, what is cut
// off is returned for readers that know no pax records.
func splitName(s string) (prefix, name string, fits bool) {
	if len(s) <= nameField.len {
		return "", s, true
	}
	for i := min(len(s)-2, prefixField.len); i > 0 && len(s)-i-1 <= nameField.len; i-- {
		if s[i] == '/' {
			return s[:i], s[i+1:], true
		}
	}
	return "", s[:nameField.len], false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// A block is a ustar header.
type block [blockSize]byte

// A field is a place in a block.
type field struct{ off, len int }

var (
	nameField   = field{0, 100}
	modeField   = field{100, 8}
	uidField    = field{108, 8}
	gidField    = field{116, 8}
	sizeField   = field{124, 12}
	mtimeField  = field{136, 12}
	sumField    = field{148, 8}
	typeField   = field{156, 1}
	linkField   = field{157, 100}
	magicField  = field{257, 8}
	majorField  = field{329, 8}
	minorField  = field{337, 8}
	prefixField = field{345, 155}
)

// octal reports whether v fits into f as octal digits with a NUL after them.
func (f field) octal(v int64) bool { return v >= 0 && v>>(3*(f.len-1)) == 0 }

func (b *block) setName(s string) {
	prefix, name, _ := splitName(s)
	copy(b[nameField.off:], name)
	copy(b[prefixField.off:], prefix)
}

// number writes v in octal, or if it does not fit, big-endian with the first bit
// set. That is an extension of GNU tar's which all readers know, for those that
// do not look at the pax record.
func (b *block) number(f field, v int64) {
	s := b[f.off:][:f.len]
	if !f.octal(v) {
		for i := range s {
			s[len(s)-1-i] = byte(v)
			v >>= 8
		}
		s[0] |= 0x80
		return
	}
	for i := len(s) - 2; i >= 0; i-- {
		s[i] = '0' + byte(v&7)
		v >>= 3
	}
}

// readNumber is the inverse of number for what is not negative; -1 if it is no
// such number.
func (b *block) readNumber(f field) int64 {
	s := b[f.off:][:f.len]
	if s[0]&0x80 == 0 {
		v, err := strconv.ParseInt(string(s[:len(s)-1]), 8, 64)
		if err != nil {
			return -1
		}
		return v
	}
	v := int64(s[0] & 0x7f)
	for _, c := range s[1:] {
		if v>>(63-8) != 0 {
			return -1
		}
		v = v<<8 | int64(c)
	}
	return v
}

// finish sets what every header has, the checksum last.
func (b *block) finish(typeflag byte) {
	b[typeField.off] = typeflag
	copy(b[magicField.off:], "ustar\x0000")
	copy(b[sumField.off:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	b.number(field{sumField.off, 7}, int64(sum)) // six digits, NUL, and a space
}
