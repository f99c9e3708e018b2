package tarball

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// ListName is the name of an archive's first member, the native packing list.
const ListName = ".sandbox-install.plist"

// Options say how an archive is written.
type Options struct {
	Compression Compression

	// Full archives every entry, not only those that go into a package, so that
	// the capture can be classified again later.
	Full bool

	// Progress, if not nil, is called after each member with the number of
	// members done so far.
	Progress func(done int)
}

// fullComment marks an archive written with Options.Full, in the header of its list.
const fullComment = "whole capture"

// Write writes a list and the content of its files to w as one archive. Without
// Full, what is not packed is only mentioned in the list, as by
// [plist.List.Brief].
//
// The same list and content give the same bytes, on any machine. After an error
// what w got is to be thrown away.
func Write(w io.Writer, l *plist.List, tree plist.Tree, o Options) error {
	if !o.Full && slices.ContainsFunc(l.Entries, func(e plist.Entry) bool { return !e.Packed() && e.Described() }) {
		brief := *l
		brief.Entries = slices.Clone(l.Entries)
		brief.Brief()
		l = &brief
	}
	z, err := compressions[o.Compression].compress(w)
	if err != nil {
		return err
	}
	a := &archiver{Writer: bufio.NewWriterSize(z, 256<<10), tree: tree}
	err = a.archive(l, o)
	if closeErr := z.Close(); err == nil { // else it fails for the same reason
		err = closeErr
	}
	return err
}

// archiver writes an archive, before compression.
type archiver struct {
	*bufio.Writer
	tree   plist.Tree
	header []byte // kept for its room
	limit  io.LimitedReader
	one    [1]byte
}

func (a *archiver) archive(l *plist.List, o Options) error {
	if err := a.list(l, o.Full); err != nil {
		return err
	}
	done := 0
	for i := range l.Entries {
		e := &l.Entries[i]
		if !isMember(e, o.Full) {
			continue
		}
		if err := a.member(&member{Entry: e}); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		done++
		if o.Progress != nil {
			o.Progress(done)
		}
	}
	if err := a.zeros(2 * blockSize); err != nil {
		return err
	}
	return a.Flush()
}

// list writes the list as a member. It makes its text twice, since the header
// tells the size and the text of a million entries is better not kept.
func (a *archiver) list(l *plist.List, full bool) error {
	var size counter
	if err := plist.WriteNative(&size, l); err != nil {
		return err
	}
	if err := a.writeHeader(listMember(int64(size), full)); err != nil {
		return err
	}
	if err := plist.WriteNative(a, l); err != nil {
		return err
	}
	return a.zeros(padding(int64(size)))
}

// counter is a Writer that only counts.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// listMember is the list as a member.
func listMember(size int64, full bool) *member {
	m := &member{Entry: &plist.Entry{Op: plist.OpAdd, Path: ListName, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}}
	if full {
		m.comment = fullComment
	}
	return m
}

func (a *archiver) member(m *member) error {
	if plist.Within(m.Path, ListName) {
		return errors.New("is the place of the packing list in an archive")
	}
	if m.HasContent() {
		return a.file(m)
	}
	return a.writeHeader(m)
}

func (a *archiver) writeHeader(m *member) error {
	a.header = m.appendHeader(a.header[:0])
	_, err := a.Write(a.header)
	return err
}

// file writes a member with content.
func (a *archiver) file(m *member) (err error) {
	f, err := a.tree.Open(m.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := extents(f, m.Size)
	if err != nil {
		return err
	}
	var holes []byte
	if isSparse(data, m.Size) {
		holes = appendMap(nil, data, m.Size)
		m.sparse, m.stored = true, int64(len(holes))+dataLen(data)
	}
	if err := a.writeHeader(m); err != nil {
		return err
	}
	if _, err := a.Write(holes); err != nil {
		return err
	}
	if err := a.data(f, data, m.Size); err != nil {
		return err
	}
	return a.zeros(padding(m.size()))
}

// data copies the extents of f, and checks that f ends where it should.
func (a *archiver) data(f plist.File, data []Extent, size int64) error {
	pos := int64(0)
	for _, x := range data {
		if err := skip(f, x.Offset-pos); err != nil {
			return err
		}
		a.limit = io.LimitedReader{R: f, N: x.Length}
		if _, err := a.ReadFrom(&a.limit); err != nil {
			return err
		}
		pos = x.Offset + x.Length
		if a.limit.N != 0 {
			return sizeError(pos-a.limit.N, size)
		}
	}
	if err := skip(f, size-pos); err != nil {
		return err
	}
	n, err := f.Read(a.one[:])
	if n != 0 {
		return fmt.Errorf("is longer than %d bytes, its size in the list", size)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// skip passes over a hole of f, which only an *os.File and a Sparse have.
func skip(f plist.File, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := f.(io.Seeker).Seek(n, io.SeekCurrent)
	return err
}

func (a *archiver) zeros(n int64) error {
	_, err := a.Write(zeros[:n])
	return err
}
