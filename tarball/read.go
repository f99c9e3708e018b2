package tarball

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/sandbox-install/sandbox-install/plist"
)

// ErrNotTarball says that an input is no archive of this package at all.
var ErrNotTarball = errors.New("not a tarball of sandbox-install")

// A Reader reads an archive. It is the [plist.Tree] of its list, best opened in
// the order of that list: for a path that was passed the archive is read again
// from its beginning, which only a seekable input allows. Only the file opened
// last can be read.
//
// The list and the bytes of the files fix every other byte of an archive. So a
// Reader does not interpret headers: it takes the one that [Write] would have
// written, and no other. Whether a file's bytes are those of Entry.Digest is for
// the caller to check.
type Reader struct {
	src    io.Reader
	start  int64        // of the archive in src; -1 if src is not seekable
	taken  atomic.Int64 // bytes read from src: a decompressor reads ahead by itself
	z      io.ReadCloser
	br     *bufio.Reader
	raw    []byte // the header read last
	want   []byte // the header wanted last
	list   *plist.List
	full   bool
	body   int64 // where the members after the list begin, decompressed
	next   int   // the entry after that of the member being read
	cur    *file // the member being read, or nil
	whole  bool  // the end was reached and found good
	broken error // why nothing more can be read
}

// NewReader detects how r is compressed and reads the list.
func NewReader(r io.Reader) (*Reader, error) {
	rd := &Reader{src: r, start: -1}
	if s, ok := r.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			rd.start = at
		}
	}
	err := rd.begin()
	if err == nil {
		err = rd.readList()
	}
	if err != nil {
		return nil, errors.Join(err, rd.Close())
	}
	return rd, nil
}

// List returns a copy of the whole list, what is not in the archive included.
func (r *Reader) List() *plist.List {
	l := *r.list
	l.Entries = slices.Clone(l.Entries)
	return &l
}

// Full reports whether the archive was written with Options.Full.
func (r *Reader) Full() bool { return r.full }

// Close releases what the Reader holds; the input is the caller's. It does not
// look at what was not read yet: see [Reader.Finish].
func (r *Reader) Close() error {
	if r.z == nil {
		return nil
	}
	return r.z.Close()
}

// Open returns the content of a regular file; that of a hard link is its first
// name's. The File is a [Sparse] one.
func (r *Reader) Open(path string) (plist.File, error) {
	e := r.list.Find(path)
	if e != nil && e.IsHardlink() {
		e = r.list.Find(e.Link)
	}
	if e == nil || !e.HasContent() || !isMember(e, r.full) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if r.next > 0 && plist.ComparePaths(e.Path, r.list.Entries[r.next-1].Path) <= 0 {
		if err := r.rewind(); err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	for r.broken == nil {
		if r.advance(); r.cur != nil && r.cur.Entry == e {
			return r.cur, nil
		}
	}
	return nil, r.broken
}

// Finish passes over the members that are left and reports whether the archive
// ends as it should.
func (r *Reader) Finish() error {
	for r.broken == nil && !r.whole {
		r.advance()
	}
	return r.broken
}

// begin puts r at the beginning of the decompressed archive.
func (r *Reader) begin() error {
	z, err := Decompress(&counted{r.src, &r.taken})
	if err != nil {
		return err
	}
	r.z, r.br = z, bufio.NewReaderSize(z, 128<<10)
	return nil
}

// rewind puts r after the list again.
func (r *Reader) rewind() error {
	if r.start < 0 {
		return errors.New("was passed already, and the archive can only be read once")
	}
	if err := r.Close(); err != nil { // first: it may be reading ahead
		return err
	}
	if _, err := r.src.(io.Seeker).Seek(r.start, io.SeekStart); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if r.cur != nil {
		r.cur.closed = true
	}
	r.next, r.cur, r.whole = 0, nil, false
	return r.discard(r.body)
}

// readList reads the first member.
func (r *Reader) readList() error {
	err := r.header(blockSize)
	if err == io.ErrUnexpectedEOF {
		return ErrNotTarball
	}
	if err != nil {
		return err
	}
	size := r.storedSize()
	full := bytes.Equal(r.raw, listMember(size, true).appendHeader(nil))
	if size < 0 || !full && !bytes.Equal(r.raw, listMember(size, false).appendHeader(nil)) {
		return ErrNotTarball
	}
	r.body = int64(len(r.raw)) + size + padding(size)
	text := &io.LimitedReader{R: r.br, N: size}
	l, err := plist.ReadNative(&swelling{r: text, taken: &r.taken})
	if err == nil && text.N != 0 { // ReadNative takes all, so the input ended
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = r.padding(size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ListName, err)
	}
	r.list, r.full = l, full
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A swelling reader stops where a list has grown out of almost nothing: lists are kept
// in memory. Real ones are compressed to a tenth, one of deletions to a fiftieth.
type swelling struct {
	r     io.Reader
	taken *atomic.Int64
	n     int64
}

// How large a list may be: anyhow, and for each byte that was read for it.
const (
	smallList = 64 << 20
	maxRatio  = 200
)

var errSwelling = errors.New("the list is too large for so small an archive")

func (s *swelling) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.n += int64(n); s.n > smallList+maxRatio*s.taken.Load() {
		return 0, errSwelling
	}
	return n, err
}

// advance passes over the member being read and goes on to the next one, or to
// the end of the archive. What goes wrong is left in r.broken.
func (r *Reader) advance() {
	if r.cur != nil {
		if err := r.cur.pass(); err != nil {
			r.broken = fmt.Errorf("%s: %w", r.cur.Path, err)
			return
		}
		r.cur = nil
	}
	for r.next < len(r.list.Entries) {
		e := &r.list.Entries[r.next]
		r.next++
		if isMember(e, r.full) {
			if r.cur, r.broken = r.member(e); r.broken != nil {
				r.broken = fmt.Errorf("%s: %w", e.Path, r.broken)
			}
			return
		}
	}
	r.broken = r.end()
	r.whole = r.broken == nil
}

// end reads the two blocks of zeros at the end of an archive.
func (r *Reader) end() error {
	if err := r.header(blockSize); err != nil {
		return fmt.Errorf("end of archive: %w", err)
	}
	if !isZero(r.raw) {
		return fmt.Errorf("member %q is not in the list", headerName(r.raw))
	}
	if err := r.zeros(blockSize); err != nil {
		return fmt.Errorf("end of archive: %w", err)
	}
	if _, err := r.br.ReadByte(); err != io.EOF {
		return errors.Join(errors.New("there is more after the end of the archive"), err)
	}
	return nil
}

// member reads the header of e's member, and the map of a sparse one.
func (r *Reader) member(e *plist.Entry) (*file, error) {
	f := &file{r: r, member: member{Entry: e}}
	r.want = f.appendHeader(r.want[:0])
	if err := r.header(len(r.want) + len(e.Path) + blockSize); err != nil { // room for the records of a sparse file
		return nil, err
	}
	if bytes.Equal(r.raw, r.want) {
		f.data, f.rest = wholly(f.size()), f.size()
		return f, nil
	}
	if !f.HasContent() {
		return nil, disagreement(r.raw, r.want)
	}
	f.sparse = true
	f.stored = r.storedSize()
	if !bytes.Equal(r.raw, f.appendHeader(nil)) {
		return nil, disagreement(r.raw, r.want)
	}
	return f, f.readMap()
}

// header reads the blocks that come before a member's content into r.raw. Records
// longer than limit are left unread: they are none that we want.
func (r *Reader) header(limit int) error {
	if err := r.readBlocks(0, blockSize); err != nil {
		return err
	}
	if n := r.storedSize(); r.raw[typeField.off] == 'x' && n >= 0 && n <= int64(limit) {
		return r.readBlocks(blockSize, n+padding(n)+blockSize)
	}
	return nil
}

// readBlocks sets r.raw[at:] to the next n bytes.
func (r *Reader) readBlocks(at int, n int64) error {
	r.raw = slices.Grow(r.raw[:at], int(n))[:at+int(n)]
	return r.fill(r.raw[at:])
}

// storedSize is what the last block of r.raw says of the bytes after it.
func (r *Reader) storedSize() int64 {
	return (*block)(r.raw[len(r.raw)-blockSize:]).readNumber(sizeField)
}

// fill fills p. That the input ends is never expected.
func (r *Reader) fill(p []byte) error {
	_, err := io.ReadFull(r.br, p)
	return unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) discard(n int64) error {
	_, err := io.CopyN(io.Discard, r.br, n)
	return unexpected(err)
}

// padding reads what fills the last block of n bytes.
func (r *Reader) padding(n int64) error { return r.zeros(int(padding(n))) }

func (r *Reader) zeros(n int) error {
	if err := r.readBlocks(0, int64(n)); err != nil {
		return err
	}
	if !isZero(r.raw) {
		return errors.New("padding that is not zero")
	}
	return nil
}

func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
