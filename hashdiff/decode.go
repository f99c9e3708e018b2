package hashdiff

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/sandbox-install/sandbox-install/plist"
)

// ErrNotSnapshot says that a file is no snapshot at all.
var ErrNotSnapshot = errors.New("not a snapshot")

// A DamageError says where a snapshot file is not as it was written.
type DamageError struct {
	Offset int64 // of the frame that is not whole
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("damaged snapshot: offset %d: %s", e.Offset, e.Reason)
}

// A Reader reads a snapshot file.
type Reader struct {
	Header Header

	r      *bufio.Reader
	number uint64
	offset int64  // of the frame in body
	next   int64  // of the one after it
	space  []byte // of the largest frame so far
	body   []byte // what is left of the frame
	path   string // of the record before
	frame  string // the path before in this frame
	tally  *Tally
}

// NewReader begins to read a snapshot file.
func NewReader(r io.Reader) (*Reader, error) {
	s := &Reader{r: bufio.NewReaderSize(r, 2*frameSize), next: int64(len(magic))}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(s.r, head); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if string(head) != magic {
		return nil, ErrNotSnapshot
	}
	if err := s.readFrame(); err != nil {
		return nil, err
	}
	d := decoder{b: s.body}
	s.Header = d.header()
	if d.err != nil || len(d.b) > 0 {
		return nil, s.damage("header: %v", cmp.Or(d.err, errLong))
	}
	s.body = nil
	return s, nil
}

func (s *Reader) damage(format string, args ...any) error {
	return &DamageError{s.offset, fmt.Sprintf(format, args...)}
}

// readFrame reads the next frame into body.
func (s *Reader) readFrame() error {
	s.offset = s.next
	var head [frameHead]byte
	if n, err := io.ReadFull(s.r, head[:]); err != nil {
		return s.cutOff(n, err)
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > frameMax {
		return s.damage("a frame of %d bytes", size)
	}
	if err := s.readBody(int(size)); err != nil {
		return err
	}
	if frameHeader(s.number, s.body) != head {
		return s.damage("the checksum of %d bytes is wrong", size)
	}
	s.number++
	s.next += frameHead + int64(size)
	s.frame = ""
	return nil
}

// readBody reads no more at once than there may be: a length can lie.
func (s *Reader) readBody(size int) error {
	if size <= cap(s.space) {
		s.body = s.space[:size]
		n, err := io.ReadFull(s.r, s.body)
		if err != nil {
			return s.cutOff(frameHead+n, err)
		}
		return nil
	}
	var b bytes.Buffer
	n, err := io.CopyN(&b, s.r, int64(size))
	if err != nil {
		return s.cutOff(frameHead+int(n), err)
	}
	s.body = b.Bytes()
	s.space = s.body
	return nil
}

func (s *Reader) cutOff(n int, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.damage("cut off after %d bytes of a frame", n)
	}
	return err
}

// Next returns the next record, and io.EOF after the last one of a whole file.
func (s *Reader) Next() (*Record, error) {
	if s.tally != nil {
		return nil, io.EOF
	}
	if len(s.body) == 0 {
		if err := s.readFrame(); err != nil {
			return nil, err
		}
		if len(s.body) > 0 && s.body[0] == '{' {
			return nil, s.end()
		}
	}
	d := decoder{b: s.body}
	r := d.record(s.frame)
	if d.err != nil {
		return nil, s.damage("record after %q: %v", s.path, d.err)
	}
	if s.path != "" && plist.ComparePaths(s.path, r.Path) >= 0 {
		return nil, s.damage("path %q after %q, out of order", r.Path, s.path)
	}
	s.body, s.frame, s.path = d.b, r.Path, r.Path
	return r, nil
}

// end reads the last frame.
func (s *Reader) end() error {
	tally := &Tally{}
	if err := json.Unmarshal(s.body, tally); err != nil {
		return s.damage("tally: %v", err)
	}
	if _, err := s.r.ReadByte(); err == nil {
		s.offset = s.next
		return s.damage("there is something after the end")
	} else if err != io.EOF {
		return err
	}
	s.tally = tally
	return io.EOF
}

// Tally counts what was met when the snapshot was made. It is known when Next
// has returned io.EOF.
func (s *Reader) Tally() Tally { return *s.tally }

// A decoder reads what appendRecord wrote. After an error it reads zeros.
type decoder struct {
	b   []byte
	err error
}

var (
	errShort = errors.New("cut off")
	errLong  = errors.New("too long")
)

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.b = err, nil
	}
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 { return uint32(d.uvarint(math.MaxUint32)) }

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint(frameMax))) }

func (d *decoder) time() Time {
	t := Time{Sec: d.varint(), Nsec: d.uint32()}
	if t.Nsec >= 1e9 {
		d.fail(errors.New("a time of more than a second's nanoseconds"))
	}
	return t
}

func (d *decoder) stamp() (s Stamp) {
	s.Dev = d.uvarint(math.MaxUint64)
	s.Ino = d.uvarint(math.MaxUint64)
	s.Nlink = d.uint32()
	s.Size = d.varint()
	s.ModTime = d.time()
	s.Changed = d.time()
	s.Born = d.time()
	return s
}

func (d *decoder) header() (h Header) {
	h.Root = d.string()
	h.Made = d.time().time()
	for range d.uvarint(uint64(len(d.b))) {
		h.Paths = append(h.Paths, d.string())
	}
	return h
}

// record reads a record; before is the path of the one before in its frame.
func (d *decoder) record(before string) *Record {
	r := &Record{}
	d.recordInto(r, before)
	return r
}

func (d *decoder) recordInto(r *Record, before string) {
	*r = Record{}
	shared := d.uvarint(uint64(len(before)))
	r.Path = before[:shared] + string(d.bytes(d.uvarint(frameMax)))
	bits := d.byte()
	r.Mode = plist.ModeFromUnix(d.uint32())
	r.UID, r.GID = d.uint32(), d.uint32()
	r.ModTime = d.time().time()
	r.Stamp = d.stamp()
	switch {
	case r.Mode.IsRegular():
		r.Size = d.varint()
	case r.Mode.Type() == fs.ModeSymlink:
		r.Link = d.string()
	case r.Mode&fs.ModeDevice != 0:
		r.Major, r.Minor = d.uint32(), d.uint32()
	}
	if r.Racy = bits&bitRacy != 0; bits&bitHashed != 0 {
		r.Hashed = true
		copy(r.Digest[:], d.bytes(uint64(len(r.Digest))))
	}
	if bits&bitUnread != 0 {
		r.Unread = d.string()
	}
	if bits&bitXattrs != 0 {
		r.Xattrs = d.xattrs()
	}
	if bits&bitFlags != 0 {
		r.Flags = d.uint32()
	}
	d.check(r, bits)
}

func (d *decoder) byte() byte {
	b := d.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (d *decoder) xattrs() map[string]string {
	attrs := make(map[string]string)
	for range d.uvarint(uint64(len(d.b))) {
		name := d.string()
		attrs[name] = d.string()
		if d.err != nil {
			break
		}
	}
	return attrs
}

// check refuses what no Writer writes, though it could be read.
func (d *decoder) check(r *Record, bits byte) {
	switch {
	case d.err != nil:
	case plist.CheckPath(r.Path) != nil:
		d.fail(plist.CheckPath(r.Path))
	case bits != r.bits():
		d.fail(fmt.Errorf("path %q: unknown or empty fields %#x", r.Path, bits))
	case r.Size < 0:
		d.fail(fmt.Errorf("path %q: negative size", r.Path))
	case r.Hashed && !r.Mode.IsRegular():
		d.fail(fmt.Errorf("path %q: a digest of what is no regular file", r.Path))
	}
}
