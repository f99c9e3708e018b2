package tarball

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// run runs a program in dir and returns its standard output.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &stderr)
	}
	return out.String()
}

// A picture is what outside tools say about the paths below a directory.
type picture map[string]map[string]string

// take makes the picture of dir by find, getfattr, getfacl, lsattr and sha256sum.
// The modification time of a path is in whole seconds besides in full.
func take(t testing.TB, dir string) picture {
	t.Helper()
	p := make(picture)
	inodes := make(map[string][]string)
	out := run(t, dir, "find", ".", "-mindepth", "1", "!", "-name", ListName, "-printf", `%p\0%i\0%y\0%m\0%U:%G\0%T@\0%Ts\0%l\0%b\0`)
	for f := range slices.Chunk(strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), 9) {
		name, inode := f[0], f[1]
		p[name] = map[string]string{"type": f[2], "mode": f[3], "owner": f[4], "time": f[5], "seconds": f[6], "link": f[7]}
		p.ask(t, dir, name)
		if f[2] == "f" {
			p[name]["blocks"] = f[8]
		}
		inodes[inode] = append(inodes[inode], name)
	}
	for _, same := range inodes {
		slices.Sort(same)
		for _, name := range same {
			p[name]["names"] = fmt.Sprintf("%q", same)
		}
	}
	return p
}

// ask adds the facts of a path that find does not know.
func (p picture) ask(t testing.TB, dir, name string) {
	t.Helper()
	facts := p[name]
	facts["xattrs"] = sortedLines(run(t, dir, "getfattr", "-h", "-d", "-m", "-", "-e", "hex", "--", name))
	facts["device"] = run(t, dir, "stat", "-c", "%t:%T", "--", name)
	switch facts["type"] {
	case "f":
		facts["content"], _, _ = strings.Cut(run(t, dir, "sha256sum", "--", name), " ")
		fallthrough
	case "d":
		facts["acl"] = run(t, dir, "getfacl", "-n", "-p", "-c", "--", name)
		facts["flags"], _, _ = strings.Cut(run(t, dir, "lsattr", "-d", "--", name), " ")
	}
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// diff tells what differs between pictures, but for facts that do not count:
// "time", or of symlinks only, "l.time".
func (p picture) diff(q picture, but ...string) []string {
	var out []string
	for name, facts := range p {
		if q[name] == nil {
			out = append(out, fmt.Sprintf("%q is missing", name))
		}
		for fact, v := range facts {
			lost := slices.Contains(but, fact) || slices.Contains(but, facts["type"]+"."+fact)
			if q[name] != nil && q[name][fact] != v && !lost {
				out = append(out, fmt.Sprintf("%q: %s is %q, want %q", name, fact, q[name][fact], v))
			}
		}
	}
	for name := range q {
		if p[name] == nil {
			out = append(out, fmt.Sprintf("%q was not there before", name))
		}
	}
	slices.Sort(out)
	return out
}

// A reader is another program that unpacks archives.
type reader struct {
	name   string
	args   []string // the archive's name is added; run in the directory to unpack to
	cannot []string // facts it does not restore at all: see picture.diff
}

var readers = []reader{
	{"tar", []string{"--acls", "--xattrs", "--xattrs-include=*", "-p", "--numeric-owner", "--warning=no-timestamp", "-xf"}, []string{"flags"}},
	{"bsdtar", []string{"--acls", "--xattrs", "--fflags", "-p", "--numeric-owner", "-xf"}, nil},
	{"python3", []string{"-c", "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(numeric_owner=True)"}, []string{"flags", "acl", "xattrs", "time", "l.seconds", "blocks"}},
	{"busybox", []string{"tar", "-xpf"}, []string{"flags", "acl", "xattrs", "time", "l.seconds", "d.seconds", "l.owner", "blocks"}},
}

// unpack unpacks an archive into a new directory.
func (r reader) unpack(t testing.TB, archive string) (dir string, err error) {
	t.Helper()
	need.Program(t, r.name)
	dir = flagDir(t)
	cmd := exec.Command(r.name, append(slices.Clone(r.args), archive)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
}

// flagDir makes a directory that is removed even if files in it are immutable.
func flagDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-f", "-ia", dir).Run() }) // fails on what has no flags
	return dir
}

// writeArchive archives what is below dir and returns the file.
func writeArchive(t testing.TB, dir string, o Options) string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	check(t, err)
	defer shut(t, root)
	name := filepath.Join(t.TempDir(), "archive"+o.Compression.Suffix())
	f, err := os.Create(name)
	check(t, err)
	check(t, Write(f, scanTree(t, dir), plistDir(root), o))
	check(t, f.Close())
	return name
}
