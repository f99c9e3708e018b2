package hashdiff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
)

// Write makes a snapshot of a live tree and writes it.
func Write(ctx context.Context, w io.Writer, scope Scope, options Options) (Tally, error) {
	out, err := NewWriter(w, Header{Root: scope.Root, Paths: scope.Paths, Made: time.Now()})
	if err != nil {
		return Tally{}, err
	}
	s := Scan(ctx, scope, options)
	defer s.Close() //nolint:errcheck // there is none
	for {
		r, err := s.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = out.Write(r)
		}
		if err != nil {
			return Tally{}, err
		}
	}
	return s.Tally(), out.Close(s.Tally())
}

// A File is a snapshot in a file.
type File struct {
	*Reader
	file *os.File
}

// Open begins to read a snapshot file. Its errors name the file.
func Open(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return &File{r, f}, nil
}

// Next returns the next record.
func (f *File) Next() (*Record, error) {
	r, err := f.Reader.Next()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", f.file.Name(), err)
	}
	return r, err
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Scope is the scope that the snapshot was made of.
func (f *File) Scope() Scope { return Scope{Root: f.Header.Root, Paths: f.Header.Paths} }

// ScopeBelow is the same scope below another root. If dir is the root that the
// snapshot was made of, or the one path of it, that is the same root.
func (f *File) ScopeBelow(dir string) Scope {
	s := f.Scope()
	if len(s.Paths) == 1 && s.hostPath(s.Paths[0]) == dir {
		return s
	}
	s.Root = dir
	return s
}

// InodeOf returns what tells a file from all others.
func InodeOf(name string) (capture.Inode, error) {
	d, err := openDir(filepath.Dir(name))
	if err != nil {
		return capture.Inode{}, err
	}
	defer d.release()
	s, _, err := d.stat(filepath.Base(name))
	return s.Inode, err
}
