package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A fact is what the outside tools say of one path.
type fact struct {
	kind   string // find's %y
	mode   string // octal
	owner  string // uid:gid
	mtime  string // seconds and fraction since 1970
	size   string // but of a directory, where it says how many names it ever held
	body   string // BLAKE3 of a file, target of a symlink, numbers of a device
	xattrs string
	flags  string
	links  string // all names of the same inode, if they are more than one
	touch  string // inode number and ctime: they change with any write, but are no attributes
}

// A picture is a tree as outside tools see it, by path relative to its top.
type picture map[string]fact

// takePicture looks at everything below dir that is on dir's file system.
func takePicture(t testing.TB, dir string) picture {
	t.Helper()
	p := make(picture)
	inodes := make(map[string][]string)
	const format = `%P\0%y\0%m\0%U:%G\0%T@\0%s\0%l\0%D:%i\0%C@\0`
	fields := strings.Split(output(t, dir, "find", ".", "-xdev", "-printf", format), "\x00")
	for ; len(fields) > 9; fields = fields[9:] {
		path, inode := fields[0], fields[7]
		f := fact{kind: fields[1], mode: fields[2], owner: fields[3], mtime: fields[4], size: fields[5], body: fields[6], touch: inode + " " + fields[8]}
		if f.kind == "d" {
			f.size = ""
		} else {
			inodes[inode] = append(inodes[inode], path)
		}
		p[path] = f
	}
	for _, names := range inodes {
		slices.Sort(names)
		if len(names) == 1 {
			continue
		}
		for _, name := range names {
			p.update(name, func(f *fact) { f.links = strings.Join(names, "\x00") })
		}
	}
	p.addContent(t, dir)
	p.addXattrs(t, dir)
	p.addFlags(t, dir)
	return p
}

// elsewhere is what of p another copy of the same tree has, too.
func (p picture) elsewhere() picture {
	copied := make(picture, len(p))
	for path, f := range p {
		f.touch = ""
		copied[path] = f
	}
	return copied
}

func (p picture) update(path string, change func(*fact)) {
	f := p[path]
	change(&f)
	p[path] = f
}

// addContent asks b3sum, ten times as fast as sha256sum, for sums in the order of
// find's names, and stat, whose --printf takes any name.
func (p picture) addContent(t testing.TB, dir string) {
	t.Helper()
	const files = "find . -xdev -type f -print0"
	names := records(output(t, dir, "sh", "-c", files))
	sums := strings.Fields(output(t, dir, "sh", "-c", files+" | xargs -0r b3sum --num-threads 1 --no-mmap --no-names --"))
	if len(names) != len(sums) {
		t.Fatalf("%d files in %s have %d sums", len(names), dir, len(sums))
	}
	for i, name := range names {
		p.update(strings.TrimPrefix(name, "./"), func(f *fact) { f.body = sums[i] })
	}
	devices := output(t, dir, "find", ".", "-xdev", "(", "-type", "b", "-o", "-type", "c", ")",
		"-exec", "stat", "--printf", `%t:%T %n\0`, "{}", "+")
	for _, line := range records(devices) {
		numbers, path, _ := strings.Cut(line, " ./")
		p.update(path, func(f *fact) { f.body = numbers })
	}
}

// addXattrs asks getfattr, which writes the bytes of a name that would break a
// line as a backslash and three octal digits.
func (p picture) addXattrs(t testing.TB, dir string) {
	t.Helper()
	out := output(t, dir, "sh", "-c", "find . -xdev -print0 | xargs -0r getfattr --absolute-names -h -d -m - -e hex --")
	for block := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		name, values, _ := strings.Cut(block, "\n")
		path, ok := strings.CutPrefix(name, "# file: ./")
		if !ok {
			continue // the tree's top, or nothing at all
		}
		attributes := strings.Split(values, "\n")
		slices.Sort(attributes)
		p.update(unescape(t, path), func(f *fact) { f.xattrs = strings.Join(attributes, " ") })
	}
}

func unescape(t testing.TB, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		c, err := strconv.ParseUint(s[i+1:i+4], 8, 8)
		if err != nil {
			t.Fatalf("getfattr: name %q: %v", s, err)
		}
		b.WriteByte(byte(c))
		i += 3
	}
	return b.String()
}

// addFlags asks lsattr, which has no way to write a newline in a name: such
// names are left out.
func (p picture) addFlags(t testing.TB, dir string) {
	t.Helper()
	out := output(t, dir, "sh", "-c", `find . -xdev ! -name '*
*' \( -type f -o -type d \) -print0 | xargs -0r lsattr -d --`)
	for line := range strings.Lines(out) {
		flags, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ./")
		if ok {
			// e and I say how the file system stores it (chattr(1)).
			p.update(path, func(f *fact) { f.flags = strings.NewReplacer("e", "-", "I", "-").Replace(flags) })
		}
	}
}

// records splits NUL-terminated records.
func records(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

// output runs an outside tool in dir; what it says on stderr is a failure, so
// that a picture is never half a picture.
func output(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%q in %s: %v\n%s", args, dir, err, &stderr)
	}
	return string(out)
}

func (f fact) String() string {
	return fmt.Sprintf("type %s mode %s owner %s size %s mtime %s body %.12s xattrs [%s] flags %s links %q inode and ctime %s",
		f.kind, f.mode, f.owner, f.size, f.mtime, f.body, f.xattrs, f.flags, f.links, f.touch)
}
