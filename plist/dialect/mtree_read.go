package dialect

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// An mtreeReader is what the lines so far have set.
type mtreeReader struct {
	list plist.List
	set  map[string]string // of /set
	dir  string            // what a name without a slash is in
	bare map[string]bool   // directories of which only the type is told
}

// ReadMtree reads an mtree(5), in the dialects of NetBSD and libarchive, as a
// list of additions. It has no digests; a mode, time or device number that it does
// not tell is 0644, 0755, 1970 or 0,0.
func ReadMtree(r io.Reader) (*plist.List, error) {
	m := mtreeReader{list: plist.List{Prefix: "/"}, set: make(map[string]string), dir: ".", bare: make(map[string]bool)}
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 64<<20)
	var joined strings.Builder
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if goesOn(line) {
			joined.WriteString(line[:len(line)-1])
			continue
		}
		joined.WriteString(line)
		words := strings.Fields(joined.String())
		joined.Reset()
		if err := m.line(words); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := cmp.Or(sc.Err(), m.line(strings.Fields(joined.String()))); err != nil {
		return nil, err
	}
	m.list.Sort()
	m.dropParents()
	return &m.list, m.list.Validate()
}

// goesOn reports whether a line goes on in the next one: it ends in a backslash
// that is not escaped itself.
func goesOn(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// dropParents takes out the directories of which only the type is told, and that
// others are in: they were written for those.
func (m *mtreeReader) dropParents() {
	entries := m.list.Entries
	kept := make([]plist.Entry, 0, len(entries))
	for i, e := range entries {
		if !m.bare[e.Path] || i+1 == len(entries) || !plist.Within(entries[i+1].Path, e.Path) {
			kept = append(kept, e)
		}
	}
	m.list.Entries = kept
}

func (m *mtreeReader) line(words []string) error {
	switch {
	case len(words) == 0 || words[0][0] == '#':
		return nil
	case words[0] == "..":
		m.dir = path.Dir(m.dir)
		return nil
	case words[0] == "/set":
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			m.set[key] = value
		}
		return nil
	case words[0] == "/unset":
		for _, key := range words[1:] {
			delete(m.set, key)
		}
		return nil
	}
	if last := len(words) - 1; words[0][0] != '.' && (words[last] == "." || strings.HasPrefix(words[last], "./")) {
		words = append(words[last:], words[:last]...) // mtree -D writes the path at the end
	}
	return m.entry(words)
}

func (m *mtreeReader) entry(words []string) error {
	name, err := mtreeUnvis(words[0])
	if err != nil {
		return err
	}
	nested := !strings.Contains(words[0], "/")
	if nested {
		name = path.Join(m.dir, name)
	}
	e := plist.Entry{Op: plist.OpAdd, Path: path.Clean(name), ModTime: time.Unix(0, 0)}
	known := make(map[string]string, len(m.set)+len(words))
	maps.Copy(known, m.set)
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		known[key] = value
	}
	if err := mtreeEntry(&e, known); err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	m.bare[e.Path] = e.Mode.IsDir() && len(known) == 1
	if nested && e.Mode.IsDir() {
		m.dir = e.Path
	}
	if e.Path != "." { // the root is no addition
		m.list.Entries = append(m.list.Entries, e)
	}
	return nil
}

// mtreeEntry sets what the keywords say; those of other kinds of checks
// (digests, flags, nlink) are passed over.
func mtreeEntry(e *plist.Entry, known map[string]string) (err error) {
	typ, ok := mtreeTypes[known["type"]]
	if !ok {
		return fmt.Errorf("unknown type %q", known["type"])
	}
	perm := uint64(0o644)
	if typ == fs.ModeDir {
		perm = 0o755
	}
	if mode, ok := known["mode"]; ok {
		if perm, err = strconv.ParseUint(mode, 8, 12); err != nil {
			return fmt.Errorf("mode: %w", err)
		}
	}
	e.Mode = typ | plist.ModeFromUnix(uint32(perm))&^fs.ModeIrregular
	if e.UID, err = mtreeOwner(known, "uid", "uname"); err != nil {
		return err
	}
	if e.GID, err = mtreeOwner(known, "gid", "gname"); err != nil {
		return err
	}
	if err := mtreeTime(e, known["time"]); err != nil {
		return err
	}
	switch {
	case typ == 0 && known["size"] != "":
		e.Size, err = strconv.ParseInt(known["size"], 10, 64)
	case typ == fs.ModeSymlink:
		e.Link, err = mtreeUnvis(known["link"])
	case typ&fs.ModeDevice != 0 && known["device"] != "":
		e.Major, e.Minor, err = mtreeDevice(known["device"])
	}
	return err
}

// mtreeDevice reads "FORMAT,MAJOR,MINOR", or one number as Linux's makedev(3)
// packs it.
func mtreeDevice(s string) (major, minor uint32, err error) {
	words := strings.Split(s, ",")
	if len(words) == 1 {
		dev, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("device: %w", err)
		}
		return uint32(dev>>8&0xfff | dev>>32&^0xfff), uint32(dev&0xff | dev>>12&^0xff), nil
	}
	if len(words) != 3 {
		return 0, 0, fmt.Errorf("device %q: want FORMAT,MAJOR,MINOR", s)
	}
	x, err := strconv.ParseUint(words[1], 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("device: %w", err)
	}
	y, err := strconv.ParseUint(words[2], 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("device: %w", err)
	}
	return uint32(x), uint32(y), nil
}

// mtreeOwner takes the number; of the names it knows those of number 0.
func mtreeOwner(known map[string]string, number, name string) (uint32, error) {
	if s, ok := known[number]; ok {
		v, err := strconv.ParseUint(s, 10, 32)
		return uint32(v), err
	}
	switch s := known[name]; s {
	case "", "root", "wheel":
		return 0, nil
	default:
		return 0, fmt.Errorf("%s=%s without %s", name, s, number)
	}
}

// mtreeTime reads seconds, a dot, and nanoseconds as a number (not a fraction,
// says libarchive's reader; others write nine digits).
func mtreeTime(e *plist.Entry, s string) error {
	if s == "" {
		return nil
	}
	sec, nsec, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	var m int64
	if nsec != "" {
		if m, err = strconv.ParseInt(nsec, 10, 64); err != nil {
			return fmt.Errorf("time: %w", err)
		}
	}
	e.ModTime = time.Unix(n, m)
	return nil
}

// mtreeEscapes are what vis(3) writes with VIS_CSTYLE, behind the backslash.
var mtreeEscapes = map[byte]byte{
	'\\': '\\', 'a': 7, 'b': 8, 't': 9, 'n': 10, 'v': 11, 'f': 12, 'r': 13, 's': ' ', '#': '#', 'E': 27,
}

// mtreeUnvis reads the escapes of all dialects: octal, C, and \M-C, \M^C, \^C.
func mtreeUnvis(s string) (string, error) {
	var b []byte
	for s != "" {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		c, n, err := mtreeEscape(s[i+1:])
		if err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		b, s = append(b, c), s[i+1+n:]
	}
	return string(append(b, s...)), nil
}

// mtreeEscape reads what stands behind a backslash: the byte, and how long it was.
func mtreeEscape(s string) (c byte, n int, err error) {
	if len(s) >= 3 {
		if v, err := strconv.ParseUint(s[:3], 8, 8); err == nil {
			return byte(v), 3, nil
		}
	}
	switch {
	case strings.HasPrefix(s, "M-") && len(s) >= 3:
		return s[2] | 0x80, 3, nil
	case strings.HasPrefix(s, "M^") && len(s) >= 3:
		return s[2]&0x1f | 0x80, 3, nil
	case strings.HasPrefix(s, "^") && len(s) >= 2:
		return s[1] & 0x1f, 2, nil
	case s != "":
		if c, ok := mtreeEscapes[s[0]]; ok {
			return c, 1, nil
		}
	}
	return 0, 0, errors.New("unknown escape")
}
