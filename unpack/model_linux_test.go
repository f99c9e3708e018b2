package unpack

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A model is a disk in memory that forgets what no barrier covers. It promises what
// POSIX, ext4, XFS and btrfs have in common, and no more:
//
//   - fsync of a file brings its content and attributes to the disk, and not its name;
//   - fsync of a directory brings the names in it; a rename from one to another is
//     there for sure when both were synced;
//   - syncfs brings all of one file system;
//   - whatever else was done may be on the disk or not, in any combination in which
//     what needs something else has it: a name is changed after it was changed before,
//     a file moves on from where it was moved to, a directory goes after what was in
//     it. Each call is there wholly or not at all, but for writing: of that a part may
//     be there, or zeros.
type model struct {
	base    *modelTree // what is on the disk for sure
	live    *modelTree // what the process sees
	pending []*modelOp // in between, in the order they were made
	last    uint64     // number of the last inode
	plain   bool       // it exchanges no names
	turn    uint64     // what an inode's number and the one that is shown make together; 0 if they are the same
}

func newModel() *model {
	t := &modelTree{inodes: map[uint64]*modelInode{}, owner: new(byte)}
	t.inodes[modelRoot] = &modelInode{owner: t.owner, dev: 1, nlink: 1, entry: plist.Entry{Mode: fs.ModeDir | 0o755}, names: map[string]uint64{}}
	return mounted(t, modelRoot, 0)
}

// mounted is the disk whose content after a crash is t.
func mounted(t *modelTree, last, turn uint64) *model {
	return &model{base: t, live: t.clone(), last: last, turn: turn}
}

// A modelOp is a call whose effect may be lost.
type modelOp struct {
	dev    uint64
	names  map[modelSlot]uint64 // that it sets
	file   uint64               // else the inode that it changes
	set    func(n *modelInode)
	write  func(n *modelInode, f fate) // else
	synced map[uint64]bool             // directories
	keys   []modelKey
	needs  []*modelOp // that are pending too
}

// A modelKey is something that changes in the order of the calls only.
type modelKey struct {
	modelSlot
	what string
}

// A fate is what becomes of bytes that were written and not synced.
type fate uint8

const (
	written fate = iota
	half
	zeros
	lost
	fates
)

func (o *modelOp) apply(t *modelTree, f fate) {
	for slot, ino := range o.names {
		t.set(slot, ino)
	}
	switch {
	case o.write != nil:
		o.write(t.own(o.file), f)
	case o.set != nil:
		o.set(t.own(o.file))
	}
}

// do makes a call.
func (m *model) do(o *modelOp) {
	for _, key := range o.keys {
		for _, p := range slices.Backward(m.pending) {
			if slices.Contains(p.keys, key) {
				o.needs = append(o.needs, p)
				break
			}
		}
	}
	o.apply(m.live, written)
	m.pending = append(m.pending, o)
}

// rename, link, unlink and so on set names: all of them at once.
func (m *model) setNames(names map[modelSlot]uint64) error {
	o := &modelOp{names: names, synced: make(map[uint64]bool)}
	for slot, ino := range names {
		o.dev = m.live.inodes[slot.dir].dev
		o.keys = append(o.keys, modelKey{slot, "name"})
		for _, moved := range []uint64{ino, m.live.inodes[slot.dir].names[slot.name]} {
			if moved != 0 {
				o.keys = append(o.keys, modelKey{modelSlot{dir: moved}, "moved"})
			}
		}
	}
	m.do(o)
	return nil
}

// setFile changes an inode's attribute of some kind.
func (m *model) setFile(ino uint64, what string, set func(*modelInode)) error {
	m.do(&modelOp{dev: m.live.inodes[ino].dev, file: ino, set: set, keys: []modelKey{{modelSlot{dir: ino}, what}}})
	return nil
}

// settle brings to the disk what is asked for, and what that needs.
func (m *model) settle(ask func(*modelOp) bool) {
	settled := make(map[*modelOp]bool)
	var add func(*modelOp)
	add = func(o *modelOp) {
		if !settled[o] {
			settled[o] = true
			for _, n := range o.needs {
				add(n)
			}
		}
	}
	for _, o := range m.pending {
		if ask(o) {
			add(o)
		}
	}
	left := m.pending[:0:0]
	for _, o := range m.pending {
		if settled[o] {
			o.apply(m.base, written)
		} else {
			left = append(left, o)
		}
	}
	for _, o := range left {
		o.needs = slices.DeleteFunc(slices.Clone(o.needs), func(n *modelOp) bool { return settled[n] })
	}
	m.pending = left
}

// crash returns the disk after a crash at which of the pending calls those survived
// that are chosen, if what they need did.
func (m *model) crash(chosen func(i int, o *modelOp) bool, fateOf func(o *modelOp) fate) *modelTree {
	t := m.base.clone()
	survived := make(map[*modelOp]bool, len(m.pending))
	for i, o := range m.pending {
		if chosen(i, o) && !slices.ContainsFunc(o.needs, func(n *modelOp) bool { return !survived[n] }) {
			survived[o] = true
			o.apply(t, fateOf(o))
		}
	}
	return t
}

// The calls of a disk.

func (m *model) Close() error { return nil }

func (m *model) lock(name string) (io.Closer, error) {
	_, err := m.live.find(name)
	return io.NopCloser(nil), err
}

func (m *model) lstat(name string, hash hashing) (e plist.Entry, inode capture.Inode, err error) {
	ino, err := m.live.find(name)
	if err != nil {
		return e, inode, err
	}
	n := m.live.inodes[ino]
	if hash == andHash && n.entry.Mode.IsRegular() && n.entry.Digest == (plist.Digest{}) {
		n.entry.Digest, err = capture.Digest(bytes.NewReader(n.data))
	}
	e = n.entry
	e.Xattrs = maps.Clone(e.Xattrs)
	if hash == noHash {
		e.Digest = plist.Digest{}
	}
	if e.Mode.IsRegular() {
		e.Size = int64(len(n.data))
	}
	if m.turn > 0 {
		ino = m.turn - ino
	}
	return e, capture.Inode{Dev: n.dev, Ino: ino, Nlink: n.nlink}, err
}

func (m *model) exists(name string) (bool, error) {
	_, err := m.live.find(name)
	return err == nil, err
}

func (m *model) readDir(name string) ([]string, error) {
	ino, err := m.live.find(name)
	if err != nil {
		return nil, err
	}
	if !m.live.inodes[ino].entry.Mode.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return slices.Clone(m.live.inodes[ino].sorted()), nil
}

func (n *modelInode) sorted() []string {
	if n.order == nil {
		n.order = slices.Sorted(maps.Keys(n.names))
	}
	return n.order
}

type modelContent struct{ *bytes.Reader }

func (modelContent) Close() error { return nil }

func (m *model) openFile(name string) (content, error) {
	ino, err := m.live.find(name)
	if err != nil {
		return nil, err
	}
	if !m.live.inodes[ino].entry.Mode.IsRegular() {
		return nil, errors.New("is no regular file")
	}
	return modelContent{bytes.NewReader(m.live.inodes[ino].data)}, nil
}

func (m *model) space(string) (space, error) {
	return space{volume: 1, block: 4096, blocks: 1 << 40, trades: !m.plain}, nil
}

// add makes an inode and gives it a name.
func (m *model) add(name string, like plist.Entry) (uint64, error) {
	slot, there, err := m.live.place(name)
	if err != nil {
		return 0, err
	}
	if there != 0 {
		return 0, syscall.EEXIST
	}
	if like.ModTime.IsZero() {
		like.ModTime = sceneTime // a clock that stands still
	}
	m.last++
	for _, t := range []*modelTree{m.base, m.live} {
		n := &modelInode{owner: t.owner, dev: m.live.inodes[slot.dir].dev, entry: like}
		if like.Mode.IsDir() {
			n.names = make(map[string]uint64)
		}
		t.inodes[m.last] = n
	}
	return m.last, m.setNames(map[modelSlot]uint64{slot: m.last})
}

func (m *model) mkdir(name string, perm uint32) error {
	_, err := m.add(name, plist.Entry{Mode: fs.ModeDir | fs.FileMode(perm)})
	return err
}

func (m *model) symlink(target, name string) error {
	_, err := m.add(name, plist.Entry{Mode: fs.ModeSymlink | 0o777, Link: target})
	return err
}

func (m *model) mknod(name string, like *plist.Entry) error {
	_, err := m.add(name, plist.Entry{Mode: like.Mode.Type() | 0o600, Major: like.Major, Minor: like.Minor})
	return err
}

func (m *model) link(old, name string) error {
	ino, err := m.live.find(old)
	if err != nil {
		return err
	}
	slot, there, err := m.live.place(name)
	switch {
	case err != nil:
		return err
	case there != 0:
		return syscall.EEXIST
	case m.live.inodes[slot.dir].dev != m.live.inodes[ino].dev:
		return syscall.EXDEV
	}
	return m.setNames(map[modelSlot]uint64{slot: ino})
}

func (m *model) rename(old, name string, how renaming) error {
	from, ino, err := m.live.place(old)
	if err != nil {
		return err
	}
	to, there, err := m.live.place(name)
	switch {
	case err != nil:
		return err
	case how == trade && m.plain:
		return syscall.ENOSYS
	case ino == 0, how == trade && there == 0:
		return syscall.ENOENT
	case m.live.inodes[from.dir].dev != m.live.inodes[to.dir].dev, m.live.inodes[ino].lower, there != 0 && m.live.inodes[there].lower:
		return syscall.EXDEV
	case how == noReplace && there != 0:
		return syscall.EEXIST
	case how == replace && there == ino:
		return nil
	case how == replace && there != 0 && len(m.live.inodes[there].names) > 0:
		return syscall.ENOTEMPTY
	case how == replace && there != 0 && (m.live.inodes[there].names == nil) != (m.live.inodes[ino].names == nil):
		return syscall.EISDIR
	}
	left := uint64(0)
	if how == trade {
		left = there
	}
	return m.setNames(map[modelSlot]uint64{from: left, to: ino})
}

func (m *model) unlink(name string) error {
	slot, ino, err := m.live.place(name)
	switch {
	case err != nil:
		return err
	case ino == 0:
		return syscall.ENOENT
	case m.live.inodes[ino].names != nil:
		return syscall.EISDIR
	}
	return m.setNames(map[modelSlot]uint64{slot: 0})
}

func (m *model) rmdir(name string) error {
	slot, ino, err := m.live.place(name)
	switch {
	case err != nil:
		return err
	case ino == 0:
		return syscall.ENOENT
	case m.live.inodes[ino].names == nil:
		return syscall.ENOTDIR
	case len(m.live.inodes[ino].names) > 0:
		return syscall.ENOTEMPTY
	}
	err = m.setNames(map[modelSlot]uint64{slot: 0})
	o := m.pending[len(m.pending)-1]
	for _, p := range m.pending {
		for s := range p.names {
			if s.dir == ino {
				o.needs = append(o.needs, p)
			}
		}
	}
	return err
}

func (m *model) fsync(name string) error {
	ino, err := m.live.find(name)
	if err == nil {
		m.sync(ino)
	}
	return err
}

func (m *model) sync(ino uint64) {
	m.settle(func(o *modelOp) bool {
		if o.names == nil {
			return o.file == ino
		}
		here, all := false, true
		for s := range o.names {
			if s.dir == ino {
				here, o.synced[ino] = true, true
			}
			all = all && o.synced[s.dir]
		}
		return here && all
	})
}

type modelVolume struct {
	m   *model
	dev uint64
}

func (m *model) volume(dir string) (volume, error) {
	ino, err := m.live.find(dir)
	if err != nil {
		return nil, err
	}
	return modelVolume{m, m.live.inodes[ino].dev}, nil
}

func (v modelVolume) id() uint64   { return v.dev }
func (v modelVolume) Close() error { return nil }
func (v modelVolume) sync() error {
	v.m.settle(func(o *modelOp) bool { return o.dev == v.dev })
	return nil
}

// A modelFile is an inode by its number, to be written or to get attributes.
type modelFile struct {
	m   *model
	ino uint64
	at  int64
}

func (m *model) create(name string) (file, error) {
	ino, err := m.add(name, plist.Entry{Mode: 0o600})
	return &modelFile{m, ino, 0}, err
}

func (m *model) inode(name string) (inode, error) {
	ino, err := m.live.find(name)
	return &modelFile{m, ino, 0}, err
}

func (f *modelFile) Close() error { return nil }
func (f *modelFile) Sync() error  { f.m.sync(f.ino); return nil }

func (f *modelFile) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent {
		return 0, syscall.EINVAL
	}
	f.at += offset
	return f.at, nil
}

func (f *modelFile) Write(p []byte) (int, error) {
	at, data := f.at, bytes.Clone(p)
	f.m.do(&modelOp{
		dev: f.m.live.inodes[f.ino].dev, file: f.ino,
		keys: []modelKey{{modelSlot{dir: f.ino}, "content"}},
		write: func(n *modelInode, f fate) {
			switch f {
			case written:
				n.put(at, data)
			case half:
				n.put(at, data[:len(data)/2])
			case zeros:
				n.put(at, make([]byte, len(data)))
			}
		},
	})
	f.at += int64(len(p))
	return len(p), nil
}

// put writes, into other memory: that of n may be shared, and so may p from now on.
func (n *modelInode) put(at int64, p []byte) {
	n.sum, n.entry.Digest = 0, plist.Digest{}
	if at == 0 && len(n.data) <= len(p) {
		n.data = p
		return
	}
	n.data = append(bytes.Clone(n.data), make([]byte, max(0, int(at)+len(p)-len(n.data)))...)
	copy(n.data[at:], p)
}

func (f *modelFile) Truncate(size int64) error {
	return f.m.setFile(f.ino, "content", func(n *modelInode) {
		n.data = append(bytes.Clone(n.data), make([]byte, max(0, int(size)-len(n.data)))...)[:size]
		n.sum, n.entry.Digest = 0, plist.Digest{}
	})
}

func (f *modelFile) Chmod(mode fs.FileMode) error { return f.chmod(mode) }

func (f *modelFile) chmod(mode fs.FileMode) error {
	return f.m.setFile(f.ino, "mode", func(n *modelInode) { n.entry.Mode = n.entry.Mode.Type() | mode&^fs.ModeType })
}

func (f *modelFile) chown(uid, gid uint32) error {
	return f.m.setFile(f.ino, "owner", func(n *modelInode) { n.entry.UID, n.entry.GID = uid, gid })
}

func (f *modelFile) setXattrs(_, want map[string]string) error {
	return f.m.setFile(f.ino, "xattrs", func(n *modelInode) { n.entry.Xattrs = want })
}

func (f *modelFile) setFlags(now, want uint32) error {
	return f.m.setFile(f.ino, "flags", func(n *modelInode) { n.entry.Flags = n.entry.Flags&^now | want })
}

func (f *modelFile) utimens(modified time.Time) error {
	return f.m.setFile(f.ino, "time", func(n *modelInode) { n.entry.ModTime = modified })
}
