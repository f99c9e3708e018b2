package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// A rootFS is the file system the command runs in.
type rootFS struct {
	dir     string   // absolute; "" is the host's own
	scratch *os.File // the locked directory that is removed afterwards; nil if there is none
	above   capture.Above
}

// scratchPrefix begins the name of every directory that an archive is unpacked in.
const scratchPrefix = "sandbox-install-root-"

// openRoot makes --root usable: a directory as it is, an archive unpacked into a
// scratch directory below staging. Those of runs that were killed go first.
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
	if staging, err = scratchPlace(staging); err != nil {
		return nil, err
	}
	if err := capture.SweepStaging(staging, scratchPrefix); err != nil {
		return nil, err
	}
	root := &rootFS{}
	if root.scratch, root.above, err = capture.LockedStaging(staging, scratchPrefix); err != nil {
		return nil, err
	}
	// In a directory of its own: an archive gives its root another mode, and another owner.
	root.dir = filepath.Join(root.scratch.Name(), "root")
	if err = errors.Join(os.Mkdir(root.dir, 0o755), os.Chmod(root.dir, 0o755)); err == nil { // whatever the umask
		err = unpackRoot(ctx, abs, root.dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--root %s: %w", name, err), root.remove())
	}
	return root, nil
}

// scratchPlace is the directory that archives are unpacked below.
func scratchPlace(staging string) (string, error) {
	return filepath.Abs(cmp.Or(staging, "/var/tmp")) // file-hierarchy(7): large and long-lived
}

// sweepRoots removes the unpacked archives of runs that were killed.
func sweepRoots(staging string) error {
	place, err := scratchPlace(staging)
	if err == nil {
		err = capture.SweepStaging(place, scratchPrefix)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remove takes the scratch directory away; it may be called again.
func (r *rootFS) remove() error {
	if r.scratch == nil {
		return nil
	}
	scratch := r.scratch
	r.scratch = nil
	err := r.above.Removing(scratch.Name(), func() error { return capture.RemoveTree(scratch.Name()) })
	return errors.Join(err, scratch.Close())
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
