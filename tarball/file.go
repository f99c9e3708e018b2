package tarball

import (
	"io"
	"io/fs"
)

// A file is a member being read.
type file struct {
	member
	r      *Reader
	data   []Extent
	at     int   // the extent at or after pos
	pos    int64 // in the file
	rest   int64 // bytes of data not read yet
	closed bool
}

// readMap reads the map of a sparse file.
func (f *file) readMap() error {
	data, n, err := readMap(f.r.br, f.Size)
	if err != nil {
		return unexpected(err)
	}
	f.data, f.rest = data, dataLen(data)
	if f.stored != n+f.rest {
		return errMap
	}
	return nil
}

// Extents implements Sparse.
func (f *file) Extents() []Extent { return f.data }

// Read implements io.Reader; holes are zeros.
func (f *file) Read(p []byte) (n int, err error) {
	next := Extent{Offset: f.Size}
	if f.at < len(f.data) {
		next = f.data[f.at]
	}
	switch {
	case f.closed:
		return 0, fs.ErrClosed
	case f.pos == f.Size:
		return 0, io.EOF
	case f.pos < next.Offset:
		n = int(min(int64(len(p)), next.Offset-f.pos))
		clear(p[:n])
	default:
		n, err = f.r.br.Read(p[:min(int64(len(p)), next.Offset+next.Length-f.pos)])
		f.rest -= int64(n)
	}
	f.pos += int64(n)
	if f.pos == next.Offset+next.Length {
		f.at++
	}
	return n, unexpected(err)
}

// Close implements io.Closer.
func (f *file) Close() error {
	f.closed = true
	return nil
}

// pass goes on to the next member, whatever of f was read.
func (f *file) pass() error {
	f.closed = true
	if err := f.r.discard(f.rest); err != nil {
		return err
	}
	return f.r.padding(f.size())
}
