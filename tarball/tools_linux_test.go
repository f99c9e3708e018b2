package tarball

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"github.com/sandbox-install/sandbox-install/plist"
)

// writeFile archives in a file.
func writeFile(t *testing.T, l *plist.List, tree plist.Tree, o Options) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "archive"+o.Compression.Suffix())
	check(t, os.WriteFile(name, write(t, l, tree, o), 0o666))
	return name
}

// TestTools lets other programs check and list archives, without a complaint.
func TestTools(t *testing.T) {
	l := list(dir("d"), regular("d/a", "hello"), link("d/b", "d/a", "hello"), symlink("d/c", "a"), deletion("e"))
	want := ListName + " d/ d/a d/b d/c"
	for c, check := range map[Compression][]string{
		Zstd: {"zstd", "-tq"}, Gzip: {"gzip", "-t"}, None: {"true"},
	} {
		archive := writeFile(t, l, memTree{"d/a": "hello"}, Options{Compression: c})
		for _, args := range [][]string{
			check,
			{"tar", "-tf"},
			{"tar", "-tvf"},
			{"bsdtar", "-tf"},
			{"python3", "-c", "import sys, tarfile; print(*(m.name + '/' * m.isdir() for m in tarfile.open(sys.argv[1])))"},
		} {
			if args[0] == "python3" && c == Zstd {
				continue // before 3.14 it knows no zstd
			}
			t.Run(c.String()+"/"+args[0], func(t *testing.T) {
				need.Program(t, args[0])
				var stdout, stderr bytes.Buffer
				cmd := exec.Command(args[0], append(slices.Clone(args[1:]), archive)...)
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil || stderr.Len() > 0 {
					t.Fatalf("%q: %v\n%s", args, err, &stderr)
				}
				names := strings.Join(strings.Fields(stdout.String()), " ")
				if names != "" && !slices.Contains(args, "-tvf") && names != want {
					t.Errorf("%q lists %s, want %s", args, names, want)
				}
			})
		}
	}
}

// TestLongPath unpacks a path longer than PATH_MAX. GNU tar 1.34, which opens
// whole paths, can not.
func TestLongPath(t *testing.T) {
	need.Program(t, "bsdtar")
	l := list()
	path := strings.Repeat("d", 255)
	for len(path) < 5000 {
		l.Entries = append(l.Entries, dir(path))
		path += "/" + strings.Repeat("d", 255)
	}
	l.Entries = append(l.Entries, regular(path, "deep"))
	archive := writeFile(t, l, memTree{path: "deep"}, Options{})
	unpacked, err := readers[1].unpack(t, archive)
	check(t, err)
	found := run(t, unpacked, "find", ".", "-type", "f", "-size", "4c", "-printf", "%P\n")
	if strings.TrimSpace(found) != path {
		t.Errorf("found %q", found)
	}
	l2, tree, err := read(bytes.NewReader(write(t, l, memTree{path: "deep"}, Options{})))
	check(t, err)
	if l2.Find(path) == nil || tree[path] != "deep" {
		t.Error("it was not read back")
	}
}

// TestSparseSize: holes take no room in an archive, nor long to write.
func TestSparseSize(t *testing.T) {
	root := t.TempDir()
	run(t, root, "sh", "-c", "truncate -s 1T f; printf x | dd of=f bs=1 seek=500G conv=notrunc status=none")
	r, err := os.OpenRoot(root)
	check(t, err)
	defer shut(t, r)
	e := scanMeta(t, filepath.Join(root, "f"))
	e.Path = "f"
	archive := write(t, list(e), plist.DirTree{Root: r}, Options{Compression: None})
	if len(archive) > 16<<10 {
		t.Errorf("archive is %d bytes long", len(archive))
	}
	if !bytes.Contains(archive, []byte("GNUSparseFile.0/f\x00")) {
		t.Error("a reader that does not know sparse files would take it for the file")
	}
	rd, err := NewReader(bytes.NewReader(archive))
	check(t, err)
	defer shut(t, rd)
	f, err := rd.Open("f")
	check(t, err)
	if got, want := f.(Sparse).Extents(), []Extent{{500 << 30, sparseBlock}}; !slices.Equal(got, want) {
		t.Errorf("data is at %v, want %v", got, want)
	}
	again := write(t, rd.List(), rd, Options{Compression: None})
	if !bytes.Equal(again, archive) {
		t.Error("written again it is not the same")
	}
	check(t, rd.Finish())
}

// TestSparseShorter: a hole that the list does not know the end of is not made up.
func TestSparseShorter(t *testing.T) {
	root := t.TempDir()
	run(t, root, "truncate", "-s", "1M", "f")
	r, err := os.OpenRoot(root)
	check(t, err)
	defer shut(t, r)
	e := scanMeta(t, filepath.Join(root, "f"))
	e.Path = "f"
	e.Size += 5
	err = Write(io.Discard, list(e), plist.DirTree{Root: r}, Options{})
	if err == nil || !strings.Contains(err.Error(), "f: is 1048576 bytes long, 1048581 in the list") {
		t.Errorf("error is %v", err)
	}
}
