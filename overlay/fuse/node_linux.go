package fuse

import (
	"path"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A node is a file that the kernel knows by a number. It is found again by the
// name under which it was looked up first; what the kernel has forgotten lives on
// as the parent of another.
type node struct {
	id      uint64
	parent  *node // nil for the root; a graft's is the root
	name    string
	file    file
	lookups int64
	mine    bool // we may read it without leaving an access time
}

// A file is the identity of a node outside. By the type two files are told apart
// of which one took the number of the other.
type file struct {
	dev, ino uint64
	typ      uint32
}

func fileOf(st *unix.Stat_t) file { return file{st.Dev, st.Ino, st.Mode & unix.S_IFMT} }

// path is what a node is called inside, for messages.
func (n *node) path() string {
	if n.parent == nil {
		return "/"
	}
	return path.Join(n.parent.path(), n.name)
}

func (m *Mirror) node(id uint64) *node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}

// meet returns the node of a file that was looked up once more.
func (m *Mirror) meet(parent *node, name string, st *unix.Stat_t) *node {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.grafts[name]; n != nil && n.parent == parent {
		if n.id == 0 {
			m.number(n)
		}
		return n
	}
	f := fileOf(st)
	n := m.byFile[f]
	if n == nil {
		n = &node{parent: parent, name: name, file: f, mine: int(st.Uid) == unix.Geteuid() || unix.Geteuid() == 0}
		m.byFile[f] = n
		m.number(n)
	}
	n.lookups++
	return n
}

// number gives a node its number. Numbers are never used again.
func (m *Mirror) number(n *node) {
	m.next++
	n.id = m.next
	m.byID[n.id] = n
}

// Forget lets go of a node that the kernel has forgotten.
func (m *Mirror) Forget(id, lookups uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.byID[id]
	if n == nil || n.file.typ == 0 || n.lookups > 1<<62 { // planted for good
		return
	}
	if n.lookups -= int64(lookups); n.lookups > 0 {
		return
	}
	delete(m.byID, id)
	if m.byFile[n.file] == n {
		delete(m.byFile, n.file)
	}
	m.dirs.forget(n)
}

// inode is the number that a file has in the mirror, which crosses devices: the
// root's files keep theirs, and the others' is mixed with a number of their device.
// With st_ino alone the roots of /proc, /sys and /dev would be one file.
func (m *Mirror) inode(st *unix.Stat_t) uint64 { return m.mixed(st.Dev, st.Ino) }

// mixed is such a number. The bits that it takes may be in use, as they are by the mirror
// of a sandbox outside: what differs in them counts as another device.
func (m *Mirror) mixed(dev, ino uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]uint64{dev, ino >> deviceShift}
	n, ok := m.devices[key]
	if !ok {
		if len(m.devices) == maxDevices { // they are numbers of files: as good as unique
			return ino | maxDevices<<deviceShift
		}
		n = uint64(len(m.devices))
		m.devices[key] = n
	}
	return ino&(1<<deviceShift-1) | n<<deviceShift
}

const deviceShift, maxDevices = 48, 1 << 15

// DeviceOf is the number, among all that a mirror shows, of the device that a file of it
// is on, by the file's number.
func DeviceOf(ino uint64) uint64 { return ino >> deviceShift }

// attr says what is shown of a file.
func (m *Mirror) attr(st *unix.Stat_t, out *gofuse.Attr) {
	*out = gofuse.Attr{
		Ino:       m.inode(st),
		Size:      uint64(st.Size),
		Blocks:    uint64(st.Blocks),
		Atime:     uint64(st.Atim.Sec),
		Mtime:     uint64(st.Mtim.Sec),
		Ctime:     uint64(st.Ctim.Sec),
		Atimensec: uint32(st.Atim.Nsec),
		Mtimensec: uint32(st.Mtim.Nsec),
		Ctimensec: uint32(st.Ctim.Nsec),
		Mode:      st.Mode,
		Nlink:     uint32(st.Nlink),
		Rdev:      uint32(st.Rdev), // the kernel's new_encode_dev, of which stat(2)'s is a longer one
		Blksize:   uint32(st.Blksize),
	}
	out.Uid, out.Gid = m.opt.Stranger, m.opt.Stranger
	if m.opt.HasUID(st.Uid) {
		out.Uid = st.Uid
	}
	if m.opt.HasGID(st.Gid) {
		out.Gid = st.Gid
	}
}

// refuse remembers that something could not be read.
func (m *Mirror) refuse(n *node) {
	p := n.path()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refused) < maxRefused {
		m.refused[p] = true
	}
}

// status turns the error of a call that was to read n into an answer.
func (m *Mirror) status(n *node, err error) gofuse.Status {
	if err == unix.EACCES || err == unix.EPERM {
		m.refuse(n)
	}
	return gofuse.ToStatus(err)
}
