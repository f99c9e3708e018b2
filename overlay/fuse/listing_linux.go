package fuse

import (
	"encoding/binary"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A listing is a directory that is being read: one that is real, as it is, a buffer at
// a time; of a merged one all names are held, as they were when the reading began.
type listing struct {
	o      *object
	fd     int    // of a real one; else -1
	device uint64 // of a real one: its st_dev, and what is mixed into numbers for it
	mix    uint64
	buf    []byte
	rest   []byte // of buf: not handed out yet
	pos    uint64 // the cookie before rest
	names  []shownEntry
}

// A shownEntry is what is handed out of a name, and which file that is in its layer.
type shownEntry struct {
	gofuse.DirEntry
	file file
}

// A dirent is what a directory says of one of its names.
type dirent struct {
	ino  uint64
	next uint64 // the cookie behind it
	typ  uint32 // DT_*
	name string
}

// firstDirent takes the first entry off a buffer: a struct linux_dirent64 of
// getdents(2), which is ino and off of 8 bytes, reclen of 2, type of 1, then the name,
// padded with NULs.
func firstDirent(buf []byte) (d dirent, rest []byte) {
	size := binary.NativeEndian.Uint16(buf[16:])
	d = dirent{ino: binary.NativeEndian.Uint64(buf), next: binary.NativeEndian.Uint64(buf[8:]), typ: uint32(buf[18])}
	d.name = unix.ByteSliceToString(buf[19:size])
	return d, buf[size:]
}

// readSome reads some names of a directory; none at its end.
func readSome(fd int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for len(names) == 0 {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return nil, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			var d dirent
			if d, rest = firstDirent(rest); d.name != "." && d.name != ".." {
				names = append(names, d.name)
			}
		}
	}
	return names, nil
}

// OpenDir begins to read a directory. The kernel keeps what it is given.
func (u *Union) OpenDir(_ <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	o := u.object(in.NodeId)
	if o == nil {
		return stale
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next++
	u.listings[u.next] = &listing{o: o, fd: -1}
	out.Fh = u.next
	out.OpenFlags = gofuse.FOPEN_CACHE_DIR | gofuse.FOPEN_KEEP_CACHE
	return gofuse.OK
}

// ReleaseDir ends it.
func (u *Union) ReleaseDir(in *gofuse.ReleaseIn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l := u.listings[in.Fh]; l != nil {
		l.close()
		delete(u.listings, in.Fh)
	}
}

func (l *listing) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	l.fd, l.rest, l.pos, l.names = -1, nil, 0, nil
}

// ReadDir hands out names from a position on.
func (u *Union) ReadDir(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return u.readDir(in, func(_ *object, e *shownEntry) bool { return out.AddDirEntry(e.DirEntry) })
}

// ReadDirPlus hands out names with what a lookup of each would tell, if the kernel does
// not know it yet.
func (u *Union) ReadDirPlus(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return u.readDir(in, func(dir *object, e *shownEntry) bool {
		entry := out.AddDirLookupEntry(e.DirEntry)
		if entry == nil {
			return false
		}
		// Without a node, as after an error, the kernel asks when it wants to know.
		if e.Name == "." || e.Name == ".." || u.isKnown(e.file) {
			return true
		}
		if o, st, err := u.lookup(dir.id, e.Name, false); err == nil && o != nil {
			u.answer(o, st, entry)
		}
		return true
	})
}

func (u *Union) isKnown(f file) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byFile[f] != nil
}

// readDir gives names from a position on to add, until that returns false. The kernel
// reads one request at a time.
func (u *Union) readDir(in *gofuse.ReadIn, add func(dir *object, e *shownEntry) bool) gofuse.Status {
	u.mu.Lock()
	l := u.listings[in.Fh]
	u.mu.Unlock()
	if l == nil {
		return gofuse.EBADF
	}
	u.tree.RLock()
	defer u.tree.RUnlock()
	if in.Offset == 0 || l.fd < 0 && l.names == nil {
		l.close()
		if err := u.begin(l); err != nil {
			return status(err)
		}
	}
	if l.fd < 0 {
		for i := in.Offset; i < uint64(len(l.names)); i++ {
			if !add(l.o, &l.names[i]) {
				break
			}
		}
		return gofuse.OK
	}
	return status(u.stream(l, in.Offset, add))
}

// begin opens a real directory, or reads a merged one.
func (u *Union) begin(l *listing) (err error) {
	o := l.o
	if o.orphan >= 0 || o.parent == nil && o != u.root {
		l.names = []shownEntry{}
		return nil
	}
	if !o.isReal() {
		l.names, err = u.merged(o)
		return err
	}
	l.buf = make([]byte, 32<<10)
	var st unix.Statx_t
	if err := u.stat(o, &st); err != nil {
		return err
	}
	key := keyOf(&st)
	l.device = key.dev
	l.mix = u.number(key) ^ key.ino
	return u.to(o, func(dir int, name string, _ int) (err error) {
		l.fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
}

// stream hands out names of a real directory, whose positions are its own (getdents(2),
// d_off).
func (u *Union) stream(l *listing, offset uint64, add func(dir *object, e *shownEntry) bool) error {
	if offset != l.pos {
		if _, err := unix.Seek(l.fd, int64(offset), 0); err != nil {
			return err
		}
		l.rest, l.pos = nil, offset
	}
	for {
		if len(l.rest) == 0 {
			n, err := unix.Getdents(l.fd, l.buf)
			if err != nil || n == 0 {
				return err
			}
			l.rest = l.buf[:n]
		}
		d, rest := firstDirent(l.rest)
		e := shownEntry{
			gofuse.DirEntry{Ino: d.ino ^ l.mix, Off: d.next, Mode: d.typ << 12, Name: d.name},
			file{l.device, d.ino, d.typ << 12},
		}
		if l.o.upper != nil {
			e.Ino = u.upperNumber(d)
		}
		if !add(l.o, &e) {
			return nil
		}
		l.rest, l.pos = rest, d.next
	}
}

// upperNumber is the number of what upper has, which for a copy is the original's.
func (u *Union) upperNumber(d dirent) uint64 {
	f := file{u.upper, d.ino, d.typ << 12}
	u.mu.Lock()
	o := u.byFile[f]
	u.mu.Unlock()
	if o != nil {
		return o.ino
	}
	return u.number(f)
}

// merged lists a merged directory.
func (u *Union) merged(o *object) ([]shownEntry, error) {
	above := o.ino
	if o.parent != nil {
		above = o.parent.ino
	}
	list := []shownEntry{
		{DirEntry: gofuse.DirEntry{Name: ".", Ino: o.ino, Mode: unix.S_IFDIR}},
		{DirEntry: gofuse.DirEntry{Name: "..", Ino: above, Mode: unix.S_IFDIR}},
	}
	err := u.scan(o.upper, o.lowers, func(layer int, d dirent, dev uint64) bool {
		e := shownEntry{gofuse.DirEntry{Name: d.name, Mode: d.typ << 12}, file{dev, d.ino, d.typ << 12}}
		if layer == 0 {
			e.Ino = u.upperNumber(d)
		} else {
			e.Ino = u.number(e.file)
		}
		list = append(list, e)
		return true
	})
	for i := range list {
		list[i].Off = uint64(i + 1)
	}
	return list, err
}

// isEmpty returns ENOTEMPTY if anything is shown in a directory that was found.
func (u *Union) isEmpty(f *finding) error {
	var not error
	err := u.scan(f.upper, f.lowers, func(int, dirent, uint64) bool {
		not = unix.ENOTEMPTY
		return false
	})
	if err != nil {
		return err
	}
	return not
}

// scan gives what is shown in a directory to found, until that returns false. Layer 0
// is upper. The order is that of the kernel's overlay: that of the lowest layer, and behind
// it what the others have besides.
func (u *Union) scan(upper *place, lowers []*place, found func(layer int, d dirent, dev uint64) bool) error {
	type shown struct {
		layer int
		d     dirent
		dev   uint64
	}
	var order []*shown
	above := make(map[string]*shown) // by name; nil for what is not to be shown, or not once more
	more := true
	for i, p := range append([]*place{upper}, lowers...) {
		if p == nil {
			continue
		}
		lowest := i == len(lowers)
		err := u.scanLayer(p, func(d dirent, dev uint64, whiteout bool) bool {
			s, seen := above[d.name]
			switch {
			case lowest && s != nil:
				above[d.name] = nil
				more = found(s.layer, s.d, s.dev)
			case seen || lowest && whiteout:
			case lowest:
				more = found(i, d, dev)
			case whiteout:
				above[d.name] = nil
			default:
				s = &shown{i, d, dev}
				above[d.name], order = s, append(order, s)
			}
			return more
		})
		if err != nil {
			return err
		}
	}
	for _, s := range order {
		if more && above[s.d.name] != nil {
			more = found(s.layer, s.d, s.dev)
		}
	}
	return nil
}

// scanLayer gives what is in one of the directories to found, until that returns false.
func (u *Union) scanLayer(p *place, found func(d dirent, dev uint64, whiteout bool) bool) error {
	return u.at(p, func(dir int, name string) error {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Statx_t
		if err := statx(fd, "", unix.AT_EMPTY_PATH, &st); err != nil {
			return err
		}
		dev := unix.Mkdev(st.Dev_major, st.Dev_minor)
		buf := make([]byte, 32<<10)
		for {
			n, err := unix.Getdents(fd, buf)
			if err != nil || n == 0 {
				return err
			}
			for rest := buf[:n]; len(rest) > 0; {
				var d dirent
				d, rest = firstDirent(rest)
				if d.name == "." || d.name == ".." {
					continue
				}
				whiteout := false
				if d.typ == unix.DT_CHR || d.typ == unix.DT_UNKNOWN {
					if err := statx(fd, d.name, 0, &st); err != nil {
						return err
					}
					whiteout = isWhiteout(&st)
					d.typ = uint32(st.Mode) & unix.S_IFMT >> 12
				}
				if !found(d, dev, whiteout) {
					return nil
				}
			}
		}
	})
}
