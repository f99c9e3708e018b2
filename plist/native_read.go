package plist

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	seen := interned{rules: make(map[string]string), by: make(map[string][]string)}
	var chunks [][]Entry // a slice that grows would need up to three times the memory
	for n := 3; sc.Scan(); n++ {
		if len(l.Entries) == nativeChunk {
			chunks = append(chunks, l.Entries)
			l.Entries = make([]Entry, 0, nativeChunk)
		}
		if err := l.readLine(sc.Text(), &seen); err != nil {
			if cut := sc.Err(); cut != nil { // the line is only the beginning of one
				return nil, cut
			}
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

// An interned value is kept once, however many entries have it.
type interned struct {
	rules map[string]string
	by    map[string][]string // by the words joined by NUL
}

// readLine reads a line after the second.
func (l *List) readLine(line string, seen *interned) error {
	if strings.HasPrefix(line, "#") {
		return l.readHeader(line)
	}
	e, err := parseEntry(line)
	if err != nil {
		return err
	}
	rule, ok := seen.rules[e.Rule]
	if !ok {
		rule = strings.Clone(e.Rule)
		seen.rules[rule] = rule
	}
	e.Rule = rule
	if e.By != nil {
		words := strings.Join(e.By, "\x00")
		if by, ok := seen.by[words]; ok {
			e.By = by
		} else {
			seen.by[words] = e.By
		}
	}
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
	case e.Was != nil && seen&keywordWas == 0:
		return e, errors.New("old lines without was")
	}
	if e.Op == OpDelete && e.Was != nil && e.Was.Old == nil && e.Digest == (Digest{}) {
		e.Digest, e.Was = e.Was.Digest, nil
	}
	e.Link = strings.Clone(e.Link)
	return e, nil
}

// keywords are the words of an entry's line that may stand there only once.
var keywords = [...]string{
	"op", "type", "link", "hardlink",
	"change", "class", "rule", "by", "mode", "uid", "gid", "time", "size", "blake3", "device", "inodeflags", "rebased", "was",
}

// The bits in parseEntry of the first words of keywords.
const (
	keywordOp = 1 << (iota + 1)
	keywordType
	keywordLink
	keywordHardlink
	keywordWas = 1 << len(keywords)
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
	case "by":
		e.By, err = unvisWords(value)
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
	case "was":
		err = e.was().Digest.parse(value)
	default:
		if at, ok := strings.CutPrefix(key, "old."); ok {
			return e.was().addOld(at, value)
		}
		return e.setXattr(key, value)
	}
	return err
}

// unvisWords is the inverse of visWords.
func unvisWords(s string) ([]string, error) {
	words := strings.Split(s, ",")
	for i, w := range words {
		word, err := unvis(w)
		if err != nil {
			return nil, err
		}
		words[i] = strings.Clone(word)
	}
	return words, nil
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

func (e *Entry) was() *Was {
	if e.Was == nil {
		e.Was = &Was{}
	}
	return e.Was
}

// addOld reads AT.COUNT and the text that was there.
func (w *Was) addOld(place, value string) (err error) {
	at, count, _ := strings.Cut(place, ".")
	after, err := parseUint32(at)
	if err != nil {
		return err
	}
	n, err := parseUint32(count)
	if err != nil {
		return err
	}
	text, err := unvis(value)
	w.Old = append(w.Old, OldLines{int(after), int(n), strings.Clone(text)})
	return err
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

func parseTime(s string) (time.Time, error) {
	sec, nsec, ok := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	m, err2 := strconv.ParseUint(nsec, 10, 32)
	if !ok || err != nil || err2 != nil || len(nsec) != 9 {
		return time.Time{}, fmt.Errorf("time %q: want seconds and nine digits", s)
	}
	return time.Unix(n, int64(m)), nil
}
