package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sandbox-install/sandbox-install/tarball"
)

// A rootFS is the file system the command runs in.
type rootFS struct {
	dir     string // absolute; "" is the host's own
	scratch string // to be removed afterwards; "" if there is nothing to remove
}

// openRoot makes --root usable: a directory as it is, an archive unpacked into a
// scratch directory below staging.
func openRoot(ctx context.Context, name, staging string) (*rootFS, error) {
	if name == "" {
		return &rootFS{}, nil
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(abs)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--root: %w", err)}
	}
	if st.IsDir() {
		return &rootFS{dir: abs}, nil
	}
	if staging == "" {
		staging = "/var/tmp" // file-hierarchy(7): large and long-lived
	}
	scratch, err := os.MkdirTemp(staging, "sandbox-install-root-")
	if err != nil {
		return nil, err
	}
	root := &rootFS{dir: scratch, scratch: scratch}
	if err := unpackRoot(ctx, abs, scratch); err != nil {
		return nil, errors.Join(fmt.Errorf("--root %s: %w", name, err), root.remove())
	}
	return root, nil
}

// remove takes the scratch directory away; it may be called again.
func (r *rootFS) remove() error {
	if r.scratch == "" {
		return nil
	}
	err := os.RemoveAll(r.scratch)
	if errors.Is(err, fs.ErrPermission) { // below a directory that not even its owner may write to
		err = errors.Join(filepath.WalkDir(r.scratch, makeWritable), os.RemoveAll(r.scratch))
	}
	r.scratch = ""
	return err
}

// makeWritable is for WalkDir, which reads a directory after this was called.
func makeWritable(name string, d fs.DirEntry, err error) error {
	if err != nil || !d.IsDir() {
		return err
	}
	return os.Chmod(name, 0o700)
}

// unpackRoot unpacks an archive of a whole system with tar(1), which knows every
// archive there is; it is fed plain tar, whatever its own build can decompress.
func unpackRoot(ctx context.Context, archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	plain, err := tarball.Decompress(f)
	if err != nil {
		return err
	}
	defer plain.Close() //nolint:errcheck // only read
	var stderr bytes.Buffer
	tar := exec.CommandContext(ctx, "tar", "-C", dir, "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", "-")
	tar.Stdin = plain
	tar.Stderr = &stderr
	if err := tar.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return fmt.Errorf("unpack with tar: %w: %s", err, first)
	}
	return nil
}
