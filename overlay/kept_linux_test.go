package overlay

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// What is kept is what is in the file, and only small files without holes are kept,
// as long as there is room.
func TestKeep(t *testing.T) {
	k := newKeep()
	digestOf := func(path, content string) {
		t.Helper()
		f, err := os.Open(writeTemp(t, content))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := k.digest(&plist.Entry{Path: path, Size: int64(len(content))}, int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := capture.Digest(strings.NewReader(content)); got != want || err != nil {
			t.Errorf("%s: digest %v, %v, want %v", path, got, err, want)
		}
	}
	text := strings.Repeat("text", 1000)
	for path, content := range map[string]string{
		"empty": "", "small": text, "large": strings.Repeat("x", keptSize+1),
		"hole": text[:512] + strings.Repeat("\x00", 512) + text, "zeros at the end": text[:1024] + "\x00",
	} {
		digestOf(path, content)
		kept := path == "empty" || path == "small"
		f := k.open(path)
		if (f != nil) != kept {
			t.Errorf("%s: kept %v, want %v", path, f != nil, kept)
		}
		if f == nil {
			continue
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, []byte(content)) {
			t.Errorf("%s: %d bytes, %v, want %d", path, len(got), err, len(content))
		}
	}
	k.used = keptRoom - len(text)
	if digestOf("late", text); k.open("late") != nil {
		t.Error("a file was kept beyond the room")
	}
}

func writeTemp(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
