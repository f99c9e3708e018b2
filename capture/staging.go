package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An Above is when the directory in which a method has its staging directory changed
// last: before that came, and by its coming. With it the directory gets its time back
// when the staging directory goes (law L1). The zero Above gives nothing back.
type Above struct{ Was, Made time.Time }

// MkdirStaging makes a directory of a new name in dir, as [os.MkdirTemp].
func MkdirStaging(dir, pattern string) (path string, a Above, err error) {
	return makeStaging(dir, func() (string, error) { return os.MkdirTemp(dir, pattern) })
}

// FindStaging returns the directories that MkdirStaging made in dir, if it is there. What
// another user made is left out, whatever its name: who recovers does what they say.
func FindStaging(dir, prefix string) (found []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if isOurs(st) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// makeStaging has mkdir make a directory in dir.
func makeStaging(dir string, mkdir func() (string, error)) (path string, a Above, err error) {
	was, err := os.Stat(dir)
	if err != nil {
		return "", Above{}, err
	}
	if path, err = mkdir(); err != nil {
		return "", Above{}, err
	}
	made, err := os.Stat(dir)
	if err != nil {
		_ = os.Remove(path) // it was not there a moment ago, and is empty
		return "", Above{}, err
	}
	return path, Above{was.ModTime(), made.ModTime()}, nil
}

// String returns a for ParseAbove: both times, in nanoseconds since 1970.
func (a Above) String() string { return fmt.Sprint(a.Was.UnixNano(), a.Made.UnixNano()) }

// ParseAbove is the inverse of String.
func ParseAbove(text string) (Above, error) {
	var was, made int64
	if _, err := fmt.Sscan(text, &was, &made); err != nil {
		return Above{}, fmt.Errorf("times of a directory %q: %w", text, err)
	}
	return Above{time.Unix(0, was), time.Unix(0, made)}, nil
}

// Removing has remove take the staging directory away, and gives the directory above
// its time back, if nothing but the staging directory's coming has changed that.
func (a Above) Removing(path string, remove func() error) error {
	dir := filepath.Dir(path)
	now, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := remove(); err != nil {
		return err
	}
	if now.ModTime().Equal(a.Made) {
		_ = os.Chtimes(dir, time.Time{}, a.Was) // in /tmp only root may
	}
	return nil
}

// RemoveTree removes a directory and all in it, also below a directory that not even its
// owner may write to.
func RemoveTree(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		err = errors.Join(filepath.WalkDir(dir, makeWritable), os.RemoveAll(dir))
	}
	return err
}

// makeWritable is for WalkDir, which reads a directory after this was called.
func makeWritable(name string, d fs.DirEntry, err error) error {
	if err != nil || !d.IsDir() {
		return err
	}
	return os.Chmod(name, 0o700)
}
