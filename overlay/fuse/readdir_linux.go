package fuse

import (
	"encoding/binary"
	"maps"
	"slices"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A stream is a directory that is being read. It holds one buffer, however many
// names there are.
type stream struct {
	node  *node
	fd    int
	buf   []byte
	rest  []byte   // of buf: not handed out yet
	pos   uint64   // the cookie before rest
	added []string // grafts without a place in the directory
}

// graftCookies are the positions of added names, after all others.
const graftCookies = 1<<63 - 1<<16

// OpenDir begins to read a directory. The kernel keeps what it is given.
func (m *Mirror) OpenDir(_ <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	n := m.node(in.NodeId)
	if n == nil {
		return gofuse.Status(unix.ESTALE)
	}
	s := &stream{node: n, buf: make([]byte, 32<<10)}
	err := m.dirs.use(n, func(dir int) (err error) {
		s.fd, err = openQuietly(dir, ".", unix.O_DIRECTORY, n.mine)
		return err
	})
	if err != nil {
		return m.status(n, err)
	}
	if n.id == gofuse.FUSE_ROOT_ID {
		for _, name := range slices.Sorted(maps.Keys(m.grafts)) {
			if unix.Faccessat(s.fd, name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT {
				s.added = append(s.added, name)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	m.streams[m.next] = s
	out.Fh = m.next
	out.OpenFlags = gofuse.FOPEN_CACHE_DIR | gofuse.FOPEN_KEEP_CACHE
	return gofuse.OK
}

// ReleaseDir ends it.
func (m *Mirror) ReleaseDir(in *gofuse.ReleaseIn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.streams[in.Fh]; s != nil {
		unix.Close(s.fd)
		delete(m.streams, in.Fh)
	}
}

// ReadDir hands out names from a position on. Positions are those of the directory
// itself (getdents(2), d_off). The kernel reads a stream one request at a time.
func (m *Mirror) ReadDir(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	m.mu.Lock()
	s := m.streams[in.Fh]
	m.mu.Unlock()
	if s == nil {
		return gofuse.EBADF
	}
	if in.Offset >= graftCookies {
		s.addGrafts(in.Offset-graftCookies, m, out)
		return gofuse.OK
	}
	if in.Offset != s.pos {
		if _, err := unix.Seek(s.fd, int64(in.Offset), 0); err != nil {
			return m.status(s.node, err)
		}
		s.rest, s.pos = nil, in.Offset
	}
	for {
		if len(s.rest) == 0 {
			n, err := unix.Getdents(s.fd, s.buf)
			if err != nil {
				return m.status(s.node, err)
			}
			if n == 0 {
				s.addGrafts(0, m, out)
				return gofuse.OK
			}
			s.rest = s.buf[:n]
		}
		if !s.handOut(m, out) {
			return gofuse.OK
		}
	}
}

// handOut hands out the next name, if there is room for it.
func (s *stream) handOut(m *Mirror, out *gofuse.DirEntryList) bool {
	// struct linux_dirent64 of getdents(2): ino and off of 8 bytes, reclen of 2, type
	// of 1, then the name, padded with NULs.
	size := binary.NativeEndian.Uint16(s.rest[16:])
	next := binary.NativeEndian.Uint64(s.rest[8:])
	ok := out.AddDirEntry(gofuse.DirEntry{
		Ino:  m.mixed(s.node.file.dev, binary.NativeEndian.Uint64(s.rest)),
		Off:  next,
		Mode: uint32(s.rest[18]) << 12,
		Name: unix.ByteSliceToString(s.rest[19:size]),
	})
	if ok {
		s.rest, s.pos = s.rest[size:], next
	}
	return ok
}

// addGrafts hands out the names from the given one on that the directory lacks.
func (s *stream) addGrafts(from uint64, m *Mirror, out *gofuse.DirEntryList) {
	for i := from; i < uint64(len(s.added)); i++ {
		n := m.grafts[s.added[i]]
		if !out.AddDirEntry(gofuse.DirEntry{Ino: n.file.ino, Off: graftCookies + i + 1, Mode: unix.S_IFDIR, Name: s.added[i]}) {
			return
		}
	}
}
