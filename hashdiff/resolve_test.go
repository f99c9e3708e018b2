package hashdiff

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestResolve(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "usr", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"bin": "/usr/bin", "usr/up": "../../../../usr", "usr/file": "bin/f", "gone": "not/there", "loop": "loop",
	} {
		if err := os.Symlink(filepath.FromSlash(target), filepath.Join(root, host(name))); err != nil {
			skipOnWindows(t, err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "usr", "bin", "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, entry, missing string }{
		{"/", ".", ""},
		{"/../..", ".", ""},
		{"/bin/f", "usr/bin/f", ""}, // an absolute link stays in the root
		{"usr/up/up/file", "usr/bin/f", ""},
		{"/bin/../up/bin", "usr/bin", ""},
		{"/bin/new", "usr/bin/new", "usr/bin/new"},
		{"/bin/new/a/b", "usr/bin/new/a/b", "usr/bin/new"},
		{"/gone/x", "not/there/x", "not"},
		{"/bin/f/below", "usr/bin/f/below", "usr/bin/f/below"}, // a file has nothing below
	} {
		entry, missing, err := resolve(root, tt.name)
		if err != nil || entry != tt.entry || missing != tt.missing {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tt.name, entry, missing, err, tt.entry, tt.missing)
		}
	}
	if _, _, err := resolve(root, "/loop/x"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
}
