package capture

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemoveTree: that owners may not write to directories is in the way of an ordinary
// user only.
func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	closed := filepath.Join(dir, "a/b")
	if err := os.MkdirAll(closed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(closed, "f"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{closed, filepath.Dir(closed)} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTree(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("still there")
	}
}
