package tarball

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shut closes c at the end of a test.
func shut(t testing.TB, c io.Closer) {
	t.Helper()
	check(t, c.Close())
}

// memTree is a Tree of strings.
type memTree map[string]string

func (m memTree) Open(path string) (plist.File, error) {
	s, ok := m[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

// A test list is made of entries by these verbs.

func regular(path, content string) plist.Entry {
	return plist.Entry{Op: plist.OpAdd, Path: path, Mode: 0o644, ModTime: time.Unix(1e9, 5), Size: int64(len(content))}
}

func dir(path string) plist.Entry {
	return plist.Entry{Op: plist.OpAdd, Path: path, Mode: fs.ModeDir | 0o755, ModTime: time.Unix(1e9, 0)}
}

func link(path, body, content string) plist.Entry {
	e := regular(path, content)
	e.Link = body
	return e
}

func symlink(path, target string) plist.Entry {
	return plist.Entry{Op: plist.OpAdd, Path: path, Mode: fs.ModeSymlink | 0o777, ModTime: time.Unix(1e9, 0), Link: target}
}

func deletion(path string) plist.Entry { return plist.Entry{Op: plist.OpDelete, Path: path} }

func classed(c plist.Class, e plist.Entry) plist.Entry {
	e.Class = c
	return e
}

func list(entries ...plist.Entry) *plist.List {
	return &plist.List{Name: "test", Version: "1", Prefix: "/usr/local", Entries: entries}
}

// write archives in memory.
func write(t testing.TB, l *plist.List, tree plist.Tree, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	check(t, Write(&b, l, tree, o))
	return b.Bytes()
}

// read reads all of an archive: its list, and the content of its files.
func read(r io.Reader) (l *plist.List, tree memTree, err error) {
	rd, err := NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rd.Close()) }()
	tree = make(memTree)
	for i := range rd.List().Entries {
		e := &rd.List().Entries[i]
		if !e.HasContent() || !isMember(e, rd.Full()) {
			continue
		}
		f, err := rd.Open(e.Path)
		if err != nil {
			return nil, nil, err
		}
		content, err := io.ReadAll(f)
		if err != nil {
			return nil, nil, err
		}
		tree[e.Path] = string(content)
	}
	return rd.List(), tree, rd.Finish()
}
