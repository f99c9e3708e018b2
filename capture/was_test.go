package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// TestRecordWas: what was there is told of what changed, old lines of texts; nothing of
// what is no text, too large, left out, or was not put back.
func TestRecordWas(t *testing.T) {
	before, after := t.TempDir(), t.TempDir()
	large := strings.Repeat("x\n", maxText/2+1)
	for name, text := range map[string][2]string{
		"binary": {"a\x00", "b\x00"}, "empty": {"", "new\n"}, "gone": {"gone", ""}, "kept": {"same", "same"}, "large": {large, "small\n"},
		"noise": {"a", "b"}, "text": {"one\ntwo\nthree", "one\n2\nthree"}, "type": {"was a file\n", ""},
	} {
		for i, dir := range []string{before, after} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text[i]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("old", filepath.Join(before, "link")); err != nil {
		t.Fatal(err)
	}
	l := &plist.List{}
	for _, e := range []plist.Entry{
		{Path: "binary", Changed: plist.ChangedContent, Mode: 0o600},
		{Path: "empty", Changed: plist.ChangedContent, Mode: 0o600},
		{Path: "gone", Op: plist.OpDelete},
		{Path: "kept", Changed: plist.ChangedContent, Mode: 0o600},
		{Path: "large", Changed: plist.ChangedContent, Mode: 0o600},
		{Path: "link", Changed: plist.ChangedContent, Mode: os.ModeSymlink | 0o777, Link: "new"},
		{Path: "noise", Changed: plist.ChangedContent, Mode: 0o600, Class: plist.ClassNoise},
		{Path: "text", Changed: plist.ChangedContent, Mode: 0o600},
		{Path: "type", Changed: plist.ChangedType, Mode: os.ModeDir | 0o700},
	} {
		if e.Op == 0 {
			e.Op, e.ModTime = plist.OpModify, time.Unix(1, 0)
		}
		if e.Mode.IsRegular() && e.Op == plist.OpModify {
			text, err := os.ReadFile(filepath.Join(after, e.Path))
			if err != nil {
				t.Fatal(err)
			}
			e.Digest, e.Size = digest(t, string(text)), int64(len(text))
		}
		l.Entries = append(l.Entries, e)
	}
	tree, err := os.OpenRoot(after)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	root, err := os.OpenRoot(before)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := RecordWas(t.Context(), l, plist.DirTree{Root: tree}, root); err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(); err != nil {
		t.Error(err)
	}
	want := map[string]*plist.Was{
		"binary": {Digest: digest(t, "a\x00")}, "empty": {Digest: digest(t, "")}, "large": {Digest: digest(t, large)},
		"link": {Digest: digest(t, "old")}, "type": {Digest: digest(t, "was a file\n")},
		"text": {Digest: digest(t, "one\ntwo\nthree"), Old: []plist.OldLines{{At: 1, Count: 1, Text: "two\n"}}},
	}
	for _, e := range l.Entries {
		expected := e
		expected.Was = want[e.Path]
		if !e.Same(&expected) {
			t.Errorf("%s: was %+v, want %+v", e.Path, e.Was, expected.Was)
		}
	}
	if got := l.Find("gone").Digest; got != digest(t, "gone") {
		t.Errorf("gone: %v", got)
	}
}

func digest(t *testing.T, text string) plist.Digest {
	t.Helper()
	d, err := Digest(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}
