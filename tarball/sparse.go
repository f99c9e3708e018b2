package tarball

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/sandbox-install/sandbox-install/plist"
)

// An Extent is a run of data in a file. What lies between extents is a hole,
// which reads as zeros.
type Extent struct{ Offset, Length int64 }

// Sparse is a File that knows where its data is: extents in order, never empty,
// never touching. Holes can be read as zeros, or passed over by Seek with
// io.SeekCurrent, which need not take anything else. The files of a [Reader] are
// Sparse.
type Sparse interface {
	plist.File
	io.Seeker
	Extents() []Extent
}

// sparseBlock is what holes are looked for in. It is fixed, so that the same file
// gives the same archive on every file system.
const sparseBlock = 4096

// extents returns where the data of f is, size bytes long.
func extents(f plist.File, size int64) ([]Extent, error) {
	switch f := f.(type) {
	case Sparse:
		return f.Extents(), nil
	case *os.File:
		fi, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if fi.Size() != size {
			return nil, sizeError(fi.Size(), size)
		}
		// Less than a block may be a hole here and none there: the blocks of a file are
		// also those of its attributes, to which an overlay adds.
		if size >= sparseBlock && allocated(fi) < size {
			return scan(f, size)
		}
	}
	return wholly(size), nil
}

func sizeError(got, want int64) error {
	return fmt.Errorf("is %d bytes long, %d in the list", got, want)
}

// wholly returns the extents of a file without holes.
func wholly(size int64) []Extent {
	if size == 0 {
		return nil
	}
	return []Extent{{0, size}}
}

// isSparse reports whether the extents of a file leave a hole.
func isSparse(data []Extent, size int64) bool { return dataLen(data) != size }

func dataLen(data []Extent) (n int64) {
	for _, x := range data {
		n += x.Length
	}
	return n
}

// scan reads the content of a file that has fewer blocks than bytes, and finds
// every block of zeros. To take the file system's word for where holes are would
// be faster, but not the same for the same file: what fallocate(2) reserved is a
// hole or not depending on what the page cache holds.
func scan(f *os.File, size int64) ([]Extent, error) {
	var data []Extent
	buf := make([]byte, 64*sparseBlock)
	for off := int64(0); off < size; {
		next, err := nextData(f, off)
		if err != nil {
			return nil, err
		}
		off = next &^ (sparseBlock - 1)
		if off >= size {
			break
		}
		chunk := buf[:min(int64(len(buf)), size-off)]
		if _, err := f.ReadAt(chunk, off); err != nil {
			return nil, err
		}
		data = appendData(data, chunk, off)
		off += int64(len(chunk))
	}
	_, err := f.Seek(0, io.SeekStart) // nextData moved it
	return data, err
}

// appendData appends the extents of a chunk that begins at off.
func appendData(data []Extent, chunk []byte, off int64) []Extent {
	for len(chunk) > 0 {
		b := chunk[:min(len(chunk), sparseBlock)]
		chunk = chunk[len(b):]
		n := int64(len(b))
		switch last := len(data) - 1; {
		case bytes.Equal(b, zeros[:n]):
		case last >= 0 && data[last].Offset+data[last].Length == off:
			data[last].Length += n
		default:
			data = append(data, Extent{off, n})
		}
		off += n
	}
	return data
}

// appendMap appends the map that comes before the data of a sparse member: the
// GNU.sparse format 1.0 (GNU tar manual, "Storing Sparse Files"). A hole at the
// end shows as an empty extent.
func appendMap(b []byte, data []Extent, size int64) []byte {
	if n := len(data); n == 0 || data[n-1].Offset+data[n-1].Length < size {
		data = append(data[:n:n], Extent{size, 0})
	}
	b = append(strconv.AppendInt(b, int64(len(data)), 10), '\n')
	for _, x := range data {
		b = append(strconv.AppendInt(b, x.Offset, 10), '\n')
		b = append(strconv.AppendInt(b, x.Length, 10), '\n')
	}
	return append(b, zeros[:padding(int64(len(b)))]...)
}

var errMap = errors.New("its map of holes is damaged")

// readMap reads what appendMap wrote, and takes nothing else. It returns the
// extents and how many bytes the map took.
func readMap(r *bufio.Reader, size int64) ([]Extent, int64, error) {
	var raw []byte
	number := func() (int64, error) {
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			return 0, errMap
		}
		if err != nil {
			return 0, err
		}
		raw = append(raw, line...)
		v, err := strconv.ParseInt(string(line[:len(line)-1]), 10, 64)
		if err != nil {
			return 0, errMap
		}
		return v, nil
	}
	count, err := number()
	if err != nil {
		return nil, 0, err
	}
	var data []Extent
	end := int64(-1)
	for i := range count {
		var x Extent
		if x.Offset, err = number(); err != nil {
			return nil, 0, err
		}
		if x.Length, err = number(); err != nil {
			return nil, 0, err
		}
		switch { // at once: a map is kept in memory, and can be compressed to almost nothing
		case x.Length == 0 && x.Offset == size && i == count-1:
			continue
		case x.Offset <= end || x.Length <= 0 || x.Length > size-x.Offset:
			return nil, 0, errMap
		}
		end = x.Offset + x.Length
		data = append(data, x)
	}
	pad := make([]byte, padding(int64(len(raw))))
	if _, err := io.ReadFull(r, pad); err != nil {
		return nil, 0, err
	}
	raw = append(raw, pad...)
	if !isSparse(data, size) || !bytes.Equal(raw, appendMap(nil, data, size)) {
		return nil, 0, errMap
	}
	return data, int64(len(raw)), nil
}
