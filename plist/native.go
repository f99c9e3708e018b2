package plist

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The native text form uses the line syntax of mtree(5): a vis(3)-escaped path
// and keyword=value words, each line whole (no /set, no continuation). Keywords
// that mtree(5) has keep their meaning; ours are op, change, class, rule,
// blake3, hardlink, inodeflags and xattr.NAME. Lines that begin with # are the
// header: the first names form and version, the second the package, and each
// note has its own.
const nativeMagic = "#mtree sandbox-install 1"

// ErrNotNative says that a text is no native packing list at all.
var ErrNotNative = errors.New("not a native packing list")

// IsNative reports whether a text that begins so is a native packing list.
func IsNative(head []byte) bool { return bytes.HasPrefix(head, []byte(nativeMagic+"\n")) }

// typeNames are the words of mtree(5)'s keyword type.
var typeNames = map[fs.FileMode]string{
	0:                                 "file",
	fs.ModeDir:                        "dir",
	fs.ModeSymlink:                    "link",
	fs.ModeDevice:                     "block",
	fs.ModeDevice | fs.ModeCharDevice: "char",
	fs.ModeNamedPipe:                  "fifo",
	fs.ModeSocket:                     "socket",
}

var opNames = map[Op]string{OpAdd: "add", OpModify: "modify", OpDelete: "delete"}

// WriteNative writes l in the native text form. The same list always gives the
// same bytes. A list that is not valid is not written.
func WriteNative(w io.Writer, l *List) error {
	if err := l.Validate(); err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 64<<10)
	line := l.header()
	for i := range l.Entries {
		line.entry(&l.Entries[i])
		if _, err := bw.Write(line); err != nil {
			return err
		}
		line = line[:0]
	}
	if _, err := bw.Write(line); err != nil { // the header of an empty list
		return err
	}
	return bw.Flush()
}

// nativeLine is a line being written.
type nativeLine []byte

func (b *nativeLine) word(key, value string) {
	*b = append(*b, ' ')
	*b = append(*b, key...)
	*b = append(*b, '=')
	*b = append(*b, value...)
}

func (b *nativeLine) uint(key string, v uint32) {
	b.word(key, strconv.FormatUint(uint64(v), 10))
}

// entry appends the whole line of e.
func (b *nativeLine) entry(e *Entry) {
	*b = append(*b, visPath(e.Path)...)
	b.word("op", opNames[e.Op])
	if e.Changed != 0 {
		b.word("change", e.Changed.String())
	}
	if e.Class != ClassChanged {
		b.word("class", e.Class.String())
	}
	if e.Rule != "" {
		b.word("rule", Vis(e.Rule))
	}
	b.word("type", typeNames[e.Mode.Type()])
	if e.Described() {
		b.attributes(e)
	}
	*b = append(*b, '\n')
}

// attributes appends what only a described path has.
func (b *nativeLine) attributes(e *Entry) {
	perm := UnixPerm(e.Mode)
	b.word("mode", string([]byte{'0' + byte(perm>>9), '0' + byte(perm>>6&7), '0' + byte(perm>>3&7), '0' + byte(perm&7)}))
	b.uint("uid", e.UID)
	b.uint("gid", e.GID)
	b.word("time", formatTime(e.ModTime))
	switch {
	case e.Mode.IsRegular():
		b.word("size", strconv.FormatInt(e.Size, 10))
		b.word("blake3", e.Digest.String())
	case e.Mode.Type() == fs.ModeSymlink:
		b.word("link", Vis(e.Link))
	case e.Mode&fs.ModeDevice != 0:
		b.word("device", fmt.Sprintf("native,%d,%d", e.Major, e.Minor))
	}
	if e.IsHardlink() {
		b.word("hardlink", visPath(e.Link))
	}
	if e.Flags != 0 {
		b.word("inodeflags", fmt.Sprintf("%#x", e.Flags))
	}
	if r := e.Rebased; r != nil {
		b.word("rebased", fmt.Sprintf("%#x,%#x,%v", r.From, r.To, r.Digest))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		b.word("xattr."+Vis(name), base64.StdEncoding.EncodeToString([]byte(e.Xattrs[name])))
	}
}

// formatTime writes whole seconds since 1970, rounded down, and nanoseconds
// after them: half a second before 1970 is -1.500000000.
func formatTime(t time.Time) string {
	nsec := strconv.Itoa(1e9 + t.Nanosecond())
	return strconv.FormatInt(t.Unix(), 10) + "." + nsec[1:]
}

func parseTime(s string) (time.Time, error) {
	sec, nsec, ok := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	m, err2 := strconv.ParseUint(nsec, 10, 32)
	if !ok || err != nil || err2 != nil || len(nsec) != 9 {
		return time.Time{}, fmt.Errorf("time %q: want seconds and nine digits", s)
	}
	return time.Unix(n, int64(m)), nil
}

// Vis escapes s as vis(3) does with VIS_OCTAL|VIS_GLOB|VIS_WHITE: what is not a
// graphic ASCII character, or has a meaning in mtree(5), becomes \ooo. So does
// "=", which is needed in names of extended attributes.
func Vis(s string) string {
	n := 0 // bytes to escape
	for i := range len(s) {
		if special[s[i]] {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+3*n)
	for i := range len(s) {
		if c := s[i]; special[c] {
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// special are the bytes that Vis escapes.
var special = func() (set [256]bool) {
	for c := range set {
		set[c] = c <= ' ' || c >= 0x7f || strings.IndexByte(`\#*?[=`, byte(c)) >= 0
	}
	return set
}()

// unvis is the inverse of Vis; it takes no other escapes than Vis makes.
func unvis(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i+4 > len(s) {
			return "", fmt.Errorf("%q: cut off after a backslash", s)
		}
		v, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			return "", fmt.Errorf("%q: a backslash without three octal digits", s)
		}
		b = append(b, byte(v))
		i += 3
	}
	return string(b), nil
}

// visPath writes an entry path as mtree(5) does: "./a/b", the root ".".
func visPath(path string) string {
	if path == "." {
		return path
	}
	return "./" + Vis(path)
}

func unvisPath(s string) (string, error) {
	if s == "." {
		return s, nil
	}
	rest, ok := strings.CutPrefix(s, "./")
	if !ok {
		return "", fmt.Errorf("path %q does not begin with ./", s)
	}
	return unvis(rest)
}

// ReadNative reads a list in the native text form and validates it. A text that
// is something else altogether gives ErrNotNative; what is wrong in a line is
// told with its number.
func ReadNative(r io.Reader) (*List, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 64<<20) // xattr values may be long, and paths longer than PATH_MAX
	if !sc.Scan() || sc.Text() != nativeMagic {
		if err := sc.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
			return nil, err
		}
		return nil, ErrNotNative
	}
	if !sc.Scan() || !strings.HasPrefix(sc.Text(), "#package ") {
		return nil, cmp.Or(sc.Err(), errors.New("line 2: no #package line"))
	}
	l := &List{}
	if err := l.readPackage(sc.Text()); err != nil {
		return nil, fmt.Errorf("line 2: %w", err)
	}
	rules := make(map[string]string)
	var chunks [][]Entry // a slice that grows would need up to three times the memory
	for n := 3; sc.Scan(); n++ {
		if len(l.Entries) == nativeChunk {
			chunks = append(chunks, l.Entries)
			l.Entries = make([]Entry, 0, nativeChunk)
		}
		if err := l.readLine(sc.Text(), rules); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if chunks != nil {
		l.Entries = slices.Concat(append(chunks, l.Entries)...)
	}
	return l, l.Validate()
}

// nativeChunk is how many entries are read into one piece of memory.
const nativeChunk = 8 << 10

// readLine reads a line after the second. Rules holds the names of rules seen
// so far, each kept once.
func (l *List) readLine(line string, rules map[string]string) error {
	if strings.HasPrefix(line, "#") {
		return l.readHeader(line)
	}
	e, err := parseEntry(line)
	if err != nil {
		return err
	}
	rule, ok := rules[e.Rule]
	if !ok {
		rule = strings.Clone(e.Rule)
		rules[rule] = rule
	}
	e.Rule = rule
	l.Entries = append(l.Entries, e)
	return nil
}

// parseEntry reads an entry's line. What the entry keeps of it is copied, or
// every path would keep its whole line in memory.
func parseEntry(line string) (e Entry, err error) {
	first, rest, more := strings.Cut(line, " ")
	if e.Path, err = unvisPath(first); err != nil {
		return e, err
	}
	e.Path = strings.Clone(e.Path)
	var seen uint32 // a bit for each of keywords
	for more {
		var word string
		word, rest, more = strings.Cut(rest, " ")
		key, value, ok := strings.Cut(word, "=")
		bit := uint32(1) << (slices.Index(keywords[:], key) + 1) // 1 if it is not there
		if !ok || seen&bit&^1 != 0 {
			return e, fmt.Errorf("word %q: repeated or without value", word)
		}
		seen |= bit
		if err := e.setWord(key, value); err != nil {
			return e, fmt.Errorf("%s: %w", key, err)
		}
	}
	switch {
	case seen&keywordOp == 0 || seen&keywordType == 0:
		return e, errors.New("op or type is missing")
	case seen&keywordLink != 0 && e.Mode.Type() != fs.ModeSymlink:
		return e, errors.New("link: only a symlink has it")
	case seen&keywordHardlink != 0 && e.Mode.Type() == fs.ModeSymlink:
		return e, errors.New("hardlink: a symlink has none")
	}
	e.Link = strings.Clone(e.Link)
	return e, nil
}

// keywords are the words of an entry's line that may stand there only once.
var keywords = [...]string{
	"op", "type", "link", "hardlink",
	"change", "class", "rule", "mode", "uid", "gid", "time", "size", "blake3", "device", "inodeflags", "rebased",
}

// The bits in parseEntry of the first words of keywords.
const (
	keywordOp = 1 << (iota + 1)
	keywordType
	keywordLink
	keywordHardlink
)

// setWord puts one keyword's value into e. It is long because it is a table.
func (e *Entry) setWord(key, value string) (err error) {
	switch key {
	case "op":
		e.Op, err = lookup(opNames, value)
	case "change":
		e.Changed, err = parseChange(value)
	case "class":
		e.Class, err = parseClass(value)
	case "rule":
		e.Rule, err = unvis(value)
	case "type":
		var typ fs.FileMode
		typ, err = lookup(typeNames, value)
		e.Mode |= typ
	case "mode":
		var v uint64
		v, err = strconv.ParseUint(value, 8, 12)
		e.Mode |= ModeFromUnix(uint32(v)) &^ fs.ModeIrregular
	case "uid":
		e.UID, err = parseUint32(value)
	case "gid":
		e.GID, err = parseUint32(value)
	case "time":
		e.ModTime, err = parseTime(value)
	case "size":
		e.Size, err = strconv.ParseInt(value, 10, 64)
	case "blake3":
		err = e.Digest.parse(value)
	case "link":
		e.Link, err = unvis(value)
	case "hardlink":
		e.Link, err = unvisPath(value)
	case "device":
		err = e.setDevice(value)
	case "inodeflags":
		var v uint64
		v, err = strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, 32)
		e.Flags = uint32(v)
	case "rebased":
		e.Rebased, err = parseRebased(value)
	default:
		return e.setXattr(key, value)
	}
	return err
}

func (e *Entry) setDevice(value string) (err error) {
	numbers, ok := strings.CutPrefix(value, "native,")
	major, minor, ok2 := strings.Cut(numbers, ",")
	if !ok || !ok2 {
		return fmt.Errorf("%q: want native,MAJOR,MINOR", value)
	}
	if e.Major, err = parseUint32(major); err != nil {
		return err
	}
	e.Minor, err = parseUint32(minor)
	return err
}

// parseRebased reads FROM,TO,DIGEST, hexadecimal numbers.
func parseRebased(s string) (*Rebased, error) {
	words := strings.Split(s, ",")
	if len(words) != 3 {
		return nil, errors.New("want FROM,TO,DIGEST")
	}
	r := &Rebased{}
	for i, to := range []*uint64{&r.From, &r.To} {
		digits, ok := strings.CutPrefix(words[i], "0x")
		v, err := strconv.ParseUint(digits, 16, 64)
		if err != nil || !ok {
			return nil, fmt.Errorf("%q is no hexadecimal number", words[i])
		}
		*to = v
	}
	return r, r.Digest.parse(words[2])
}

func (e *Entry) setXattr(key, value string) error {
	escaped, ok := strings.CutPrefix(key, "xattr.")
	if !ok {
		return errors.New("unknown keyword")
	}
	name, err := unvis(escaped)
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return err
	}
	if _, ok := e.Xattrs[name]; ok {
		return errors.New("repeated")
	}
	if e.Xattrs == nil {
		e.Xattrs = make(map[string]string)
	}
	e.Xattrs[strings.Clone(name)] = string(raw)
	return nil
}

func (d *Digest) parse(s string) error {
	if len(s) != 2*len(d) {
		return fmt.Errorf("digest %q: want %d digits", s, 2*len(d))
	}
	_, err := hex.Decode(d[:], []byte(s))
	return err
}

func parseUint32(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err
}

// lookup is the inverse of a table of names.
func lookup[K comparable](names map[K]string, name string) (K, error) {
	for k, known := range names {
		if known == name {
			return k, nil
		}
	}
	var zero K
	return zero, fmt.Errorf("unknown word %q", name)
}
