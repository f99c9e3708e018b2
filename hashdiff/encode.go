package hashdiff

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A snapshot file is the line magic, then frames. A frame is the length of its
// body in 4 bytes, the first 8 bytes of the BLAKE3 of its number (8 bytes) and
// body, and the body; numbers are little-endian. The body of the first frame is
// the Header; of the last one, the Tally as JSON. Those between hold records, at
// least one each, and begin with a zero, never with a brace. So what is torn, cut
// off, repeated or left out is noticed before it is believed.
//
// A record is what appendRecord writes: the path as the number of bytes it shares
// with the one before in its frame, and the rest; then fields in a fixed order,
// integers as in encoding/binary's varints.
const magic = "sandbox-install snapshot 1\n"

const (
	frameHead = 4 + 8
	frameSize = 64 << 10 // of a body that is full: the next record begins another
	frameMax  = 16 << 20 // more than any record needs: a path and its attributes
)

// A Header is what a snapshot file says of itself.
type Header struct {
	Root  string    // host path that entry paths are relative to
	Paths []string  // entry paths that the snapshot is of
	Made  time.Time // for people
}

func (h *Header) append(b []byte) []byte {
	b = appendString(b, h.Root)
	b = appendTime(b, timeFrom(h.Made))
	b = binary.AppendUvarint(b, uint64(len(h.Paths)))
	for _, p := range h.Paths {
		b = appendString(b, p)
	}
	return b
}

// A Writer writes a snapshot file.
type Writer struct {
	w      *bufio.Writer
	number uint64
	body   []byte
	path   string // of the last record in body
}

// NewWriter begins a snapshot file.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	s := &Writer{w: bufio.NewWriterSize(w, 2*frameSize)}
	if _, err := s.w.WriteString(magic); err != nil {
		return nil, err
	}
	s.body = h.append(nil)
	return s, s.flush()
}

// Write adds a record.
func (w *Writer) Write(r *Record) error {
	w.body = appendRecord(w.body, w.path, r)
	w.path = r.Path
	if len(w.body) < frameSize {
		return nil
	}
	return w.flush()
}

// Close ends the file; without it, a reader takes it for cut off.
func (w *Writer) Close(t Tally) error {
	if len(w.body) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	var err error
	if w.body, err = json.Marshal(t); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.w.Flush()
}

// flush writes the body as a frame.
func (w *Writer) flush() error {
	if len(w.body) > frameMax {
		return fmt.Errorf("path %q: its record is too large for a snapshot", w.path)
	}
	head := frameHeader(w.number, w.body)
	w.number++
	if _, err := w.w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.w.Write(w.body)
	w.body, w.path = w.body[:0], ""
	return err
}

func frameHeader(number uint64, body []byte) (head [frameHead]byte) {
	h := blake3.New()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], number)
	h.Write(b[:]) // never fails, nor does the next
	h.Write(body)
	var sum [32]byte
	h.Sum(sum[:0])
	binary.LittleEndian.PutUint32(head[:], uint32(len(body)))
	copy(head[4:], sum[:])
	return head
}

// The bits of a record's first byte after its path.
const (
	bitHashed = 1 << iota
	bitRacy
	bitUnread
	bitXattrs
	bitFlags
)

func appendRecord(b []byte, before string, r *Record) []byte {
	shared := 0
	for shared < min(len(before), len(r.Path)) && before[shared] == r.Path[shared] {
		shared++
	}
	b = binary.AppendUvarint(b, uint64(shared))
	b = appendString(b, r.Path[shared:])
	b = append(b, r.bits())
	b = binary.AppendUvarint(b, uint64(plist.UnixMode(r.Mode)))
	b = binary.AppendUvarint(b, uint64(r.UID))
	b = binary.AppendUvarint(b, uint64(r.GID))
	b = appendTime(b, timeFrom(r.ModTime))
	b = appendStamp(b, &r.Stamp)
	switch {
	case r.Mode.IsRegular():
		b = binary.AppendVarint(b, r.Size)
	case r.Mode.Type() == fs.ModeSymlink:
		b = appendString(b, r.Link)
	case r.Mode&fs.ModeDevice != 0:
		b = binary.AppendUvarint(b, uint64(r.Major))
		b = binary.AppendUvarint(b, uint64(r.Minor))
	}
	if r.Hashed {
		b = append(b, r.Digest[:]...)
	}
	if r.Unread != "" {
		b = appendString(b, r.Unread)
	}
	if len(r.Xattrs) > 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Xattrs)))
		for _, name := range slices.Sorted(maps.Keys(r.Xattrs)) {
			b = appendString(appendString(b, name), r.Xattrs[name])
		}
	}
	if r.Flags != 0 {
		b = binary.AppendUvarint(b, uint64(r.Flags))
	}
	return b
}

func (r *Record) bits() (bits byte) {
	set := func(bit byte, on bool) {
		if on {
			bits |= bit
		}
	}
	set(bitHashed, r.Hashed)
	set(bitRacy, r.Racy)
	set(bitUnread, r.Unread != "")
	set(bitXattrs, len(r.Xattrs) > 0)
	set(bitFlags, r.Flags != 0)
	return bits
}

func appendStamp(b []byte, s *Stamp) []byte {
	b = binary.AppendUvarint(b, s.Dev)
	b = binary.AppendUvarint(b, s.Ino)
	b = binary.AppendUvarint(b, uint64(s.Nlink))
	b = binary.AppendVarint(b, s.Size)
	b = appendTime(b, s.ModTime)
	b = appendTime(b, s.Changed)
	return appendTime(b, s.Born)
}

func appendTime(b []byte, t Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Sec), uint64(t.Nsec))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
