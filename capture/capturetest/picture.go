package capturetest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A Picture is what find(1), stat(1), sha256sum(1), getfattr(1) and lsattr(1) see
// of a tree, by entry path. It is made before and after, and tells the truth by
// which a list is judged: none of our own code reads the tree for it.
type Picture map[string]Shot

// A Shot is one path in a Picture.
type Shot struct {
	Type   string // f d l b c p s, as find(1) has it
	Mode   string // octal, with set-id and sticky bits
	Owner  string // uid:gid
	Size   string // of a regular file
	Time   string // seconds.nanoseconds
	Link   string // of a symlink
	Device string // major:minor in hexadecimal
	Sum    string // SHA-256 of a regular file
	Xattrs string // name=hex words, sorted
	Flags  uint32 // inode flags that lsattr(1) has a letter for and chattr(1) can set
	Inode  string // device:number
	Links  string // how many names the inode has
}

// Take takes a picture of a directory and what is mounted with it.
func Take(t testing.TB, dir string) Picture {
	t.Helper()
	p := make(Picture)
	p.find(t, dir)
	p.devices(t, dir)
	p.sums(t, dir)
	p.xattrs(t, dir)
	p.flags(t, dir)
	return p
}

// update changes one Shot.
func (p Picture) update(path string, change func(*Shot)) {
	s := p[path]
	change(&s)
	p[path] = s
}

// paths returns the sorted paths of the types given.
func (p Picture) paths(types string) []string {
	var paths []string
	for path, s := range p {
		if strings.Contains(types, s.Type) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func (p Picture) find(t testing.TB, dir string) {
	t.Helper()
	const format = `%p\0%y\0%m\0%U:%G\0%s\0%T@\0%l\0%D:%i\0%n\0`
	for f := range slices.Chunk(fields(output(t, dir, "", "find", ".", "-printf", format)), 9) {
		s := Shot{Type: f[1], Mode: f[2], Owner: f[3], Time: nanoseconds(f[5]), Link: f[6], Inode: f[7], Links: f[8]}
		if s.Type == "f" {
			s.Size = f[4]
		}
		p[clean(f[0])] = s
	}
}

// nanoseconds cuts the tenth digit that find(1) prints after the point.
func nanoseconds(s string) string {
	sec, frac, _ := strings.Cut(s, ".")
	return sec + "." + frac[:9]
}

func (p Picture) devices(t testing.TB, dir string) {
	t.Helper()
	for f := range slices.Chunk(fields(p.each(t, dir, "bc", "stat", `--printf=%n\0%t:%T\0`, "--")), 2) {
		p.update(clean(f[0]), func(s *Shot) { s.Device = f[1] })
	}
}

func (p Picture) sums(t testing.TB, dir string) {
	t.Helper()
	for _, line := range fields(p.each(t, dir, "f", "sha256sum", "-z", "-b", "--")) {
		sum, path, _ := strings.Cut(line, " *")
		p.update(clean(path), func(s *Shot) { s.Sum = sum })
	}
}

// xattrs reads the output of getfattr(1): for each file with attributes a line
// "# file: PATH", a line NAME=0xHEX each, and an empty one. Its names are escaped
// where they hold a backslash or an unprintable byte.
func (p Picture) xattrs(t testing.TB, dir string) {
	t.Helper()
	out := output(t, dir, "", "getfattr", "-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", ".")
	for _, block := range strings.Split(strings.TrimSpace(out), "\n\n") {
		lines := strings.Split(block, "\n")
		path, ok := strings.CutPrefix(lines[0], "# file: ")
		if !ok {
			continue // no output at all
		}
		attrs := lines[1:]
		for i := range attrs {
			attrs[i] = unescape(attrs[i])
		}
		slices.Sort(attrs)
		p.update(clean(unescape(path)), func(s *Shot) { s.Xattrs = strings.Join(attrs, " ") })
	}
}

// unescape undoes \ooo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// flagLetters are the letters of lsattr(1) in e2fsprogs.
var flagLetters = map[rune]uint32{
	's': 0x1, 'u': 0x2, 'c': 0x4, 'S': 0x8, 'i': 0x10, 'a': 0x20, 'd': 0x40, 'A': 0x80, 'm': 0x400,
	'j': 0x4000, 't': 0x8000, 'D': 0x10000, 'T': 0x20000, 'C': 0x800000, 'x': 0x2000000,
	'P': 0x20000000, 'F': 0x40000000,
}

// flags reads the output of lsattr(1): letters, a space and the path, which may
// hold newlines, but is known. It prints nothing for a file that has no flags to
// read.
func (p Picture) flags(t testing.TB, dir string) {
	t.Helper()
	out := p.each(t, dir, "fd", "lsattr", "-d")
	for _, path := range p.paths("fd") {
		letters, rest, ok := strings.Cut(out, " "+dotted(path)+"\n")
		if !ok || strings.Contains(letters, " ") {
			continue
		}
		out = rest
		p.update(path, func(s *Shot) {
			for _, c := range letters {
				s.Flags |= flagLetters[c]
			}
		})
	}
}

// clean turns "./a" into the entry path "a"; dotted is its inverse.
func clean(path string) string {
	return strings.TrimPrefix(path, "./")
}

func dotted(path string) string {
	if path == "." {
		return path
	}
	return "./" + path
}

// fields splits what is terminated by NULs.
func fields(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

// each returns what a command prints for all paths of the types given.
func (p Picture) each(t testing.TB, dir, types string, command ...string) string {
	t.Helper()
	var stdin strings.Builder
	for _, path := range p.paths(types) {
		stdin.WriteString(dotted(path) + "\x00")
	}
	return output(t, dir, stdin.String(), append([]string{"xargs", "-0", "-r"}, command...)...)
}

// output returns what a command prints that is run in a directory.
func output(t testing.TB, dir, stdin string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	// lsattr(1) fails, after the rest, if one of the files has no flags.
	if err != nil && !slices.Contains(command, "lsattr") {
		t.Fatalf("%v in %s: %v\n%s", command, dir, err, stderr.Bytes())
	}
	return string(out)
}

// xattrText writes attributes as a Shot has them.
func xattrText(attrs map[string]string) string {
	var words []string
	for name, value := range attrs {
		words = append(words, fmt.Sprintf("%s=0x%s", name, hex.EncodeToString([]byte(value))))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
