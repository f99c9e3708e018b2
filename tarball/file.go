package tarball

import (
	"errors"
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

// run returns how many bytes of one kind, data or hole, there are at pos.
func (f *file) run() (n int64, data bool) {
	if f.at == len(f.data) {
		return f.Size - f.pos, false
	}
	x := f.data[f.at]
	if f.pos < x.Offset {
		return x.Offset - f.pos, false
	}
	return x.Offset + x.Length - f.pos, true
}

// moved counts n bytes of a run.
func (f *file) moved(n int64, data bool) {
	f.pos += n
	if !data {
		return
	}
	f.rest -= n
	if x := f.data[f.at]; f.pos == x.Offset+x.Length {
		f.at++
	}
}

// Read implements io.Reader; holes are zeros.
func (f *file) Read(p []byte) (n int, err error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	if f.pos == f.Size {
		return 0, io.EOF
	}
	left, data := f.run()
	p = p[:min(int64(len(p)), left)]
	if data {
		n, err = f.r.br.Read(p)
	} else {
		clear(p)
		n = len(p)
	}
	f.moved(int64(n), data)
	return n, unexpected(err)
}

// Seek implements Sparse: it only goes forward, and not beyond the end.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	if f.closed {
		return f.pos, fs.ErrClosed
	}
	if whence != io.SeekCurrent || offset < 0 || offset > f.Size-f.pos {
		return f.pos, errors.ErrUnsupported
	}
	for offset > 0 {
		n, data := f.run()
		n = min(n, offset)
		if data {
			if err := f.r.discard(n); err != nil {
				return f.pos, err
			}
		}
		f.moved(n, data)
		offset -= n
	}
	return f.pos, nil
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
