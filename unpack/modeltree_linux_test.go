package unpack

import (
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A modelTree is one state of all files. What it shares with others it does not change.
type modelTree struct {
	inodes map[uint64]*modelInode
	owner  *byte
}

type modelInode struct {
	owner *byte
	dev   uint64
	nlink uint32
	lower bool        // a directory of an overlay's lower layer, which can not be renamed
	entry plist.Entry // attributes; of a file the digest, if it is known
	data  []byte
	names map[string]uint64 // in a directory
	order []string          // the names sorted; nil if not yet
	sum   uint64            // of all but the names; 0 if not yet
}

const modelRoot = 1

// clone copies a tree. From now on both share what is in it.
func (t *modelTree) clone() *modelTree {
	t.owner = new(byte)
	return &modelTree{maps.Clone(t.inodes), new(byte)}
}

// own returns an inode that may be changed.
func (t *modelTree) own(ino uint64) *modelInode {
	n := t.inodes[ino]
	if n.owner != t.owner {
		c := *n
		c.names, c.owner = maps.Clone(n.names), t.owner
		n = &c
		t.inodes[ino] = n
	}
	return n
}

// find walks to an inode.
func (t *modelTree) find(name string) (uint64, error) {
	ino := uint64(modelRoot)
	if name == "." {
		return ino, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		n := t.inodes[ino]
		switch {
		case n.entry.Mode.Type() == fs.ModeSymlink:
			return 0, syscall.ELOOP
		case !n.entry.Mode.IsDir():
			return 0, syscall.ENOTDIR
		}
		if ino = n.names[part]; ino == 0 {
			return 0, syscall.ENOENT
		}
	}
	return ino, nil
}

// place finds the directory that a name is in, and what has the name; 0 if nothing has.
func (t *modelTree) place(name string) (slot modelSlot, ino uint64, err error) {
	dir, err := t.find(path.Dir(name))
	if err != nil {
		return slot, 0, err
	}
	if !t.inodes[dir].entry.Mode.IsDir() {
		return slot, 0, syscall.ENOTDIR
	}
	slot = modelSlot{dir, path.Base(name)}
	return slot, t.inodes[dir].names[slot.name], nil
}

// A modelSlot is a name in a directory.
type modelSlot struct {
	dir  uint64
	name string
}

// set gives a name to an inode; to none if that is 0.
func (t *modelTree) set(s modelSlot, ino uint64) {
	dir := t.own(s.dir)
	dir.order = nil
	if old := dir.names[s.name]; old != 0 {
		t.own(old).nlink--
	}
	if ino == 0 {
		delete(dir.names, s.name)
		return
	}
	dir.names[s.name] = ino
	t.own(ino).nlink++
}

// loadModel returns a model of a directory.
func loadModel(t testing.TB, dir string) *model {
	t.Helper()
	k, err := openKernel(dir)
	check(t, err)
	m, inodes := newModel(), make(map[capture.Inode]string)
	var load func(name string)
	load = func(name string) {
		e, inode, err := k.lstat(name, andHash)
		check(t, err)
		e.Path, e.Op, e.Size = "", 0, 0
		inode.Nlink = 0
		if first, ok := inodes[inode]; ok && !e.Mode.IsDir() {
			check(t, m.link(first, name))
			return
		}
		inodes[inode] = name
		var ino uint64 = modelRoot
		if name != "." {
			ino, err = m.add(name, e)
			check(t, err)
		}
		if e.Mode.IsRegular() {
			f, err := k.openFile(name)
			check(t, err)
			m.live.own(ino).data, err = io.ReadAll(f)
			check(t, err)
			check(t, f.Close())
			m.base.own(ino).data = m.live.inodes[ino].data
		}
		if !e.Mode.IsDir() {
			return
		}
		names, err := k.readDir(name)
		check(t, err)
		for _, n := range names {
			load(path.Join(name, n))
		}
	}
	load(".")
	check(t, k.Close())
	m.settle(func(*modelOp) bool { return true })
	return mounted(m.base, m.last, 0)
}

// A view says what of a tree is summed up.
type view uint8

const (
	all   view = iota // with all attributes
	apart             // all but which names are one file
	plain             // kinds and content
)

var modelSeed = maphash.MakeSeed()

// sum sums up what is at an inode and below it. Two trees that differ have different
// sums, but for one in 2^64.
func (t *modelTree) sum(ino uint64, v view, seen map[uint64]uint64) uint64 {
	n := t.inodes[ino]
	sum := n.own(v)
	if n.names == nil {
		if n.nlink > 1 && v == all {
			if seen[ino] == 0 {
				seen[ino] = uint64(len(seen) + 1)
			} else {
				sum = mix(sum, seen[ino])
			}
		}
		return sum
	}
	for _, name := range n.sorted() {
		sum = mix(mix(sum, maphash.String(modelSeed, name)), t.sum(n.names[name], v, seen))
	}
	return sum
}

func mix(a, b uint64) uint64 {
	a = (a ^ b) * 0x9e3779b97f4a7c15
	return a ^ a>>29
}

// own sums up an inode without what is in it.
func (n *modelInode) own(v view) uint64 {
	if n.sum == 0 {
		var h maphash.Hash
		h.SetSeed(modelSeed)
		_, _ = h.Write(n.data)
		n.sum = mix(mix(h.Sum64(), uint64(n.entry.Mode.Type())), maphash.String(modelSeed, n.entry.Link))
	}
	if v == plain {
		return n.sum
	}
	sum := mix(mix(n.sum, uint64(n.entry.Mode)), uint64(n.entry.UID)<<32|uint64(n.entry.GID))
	sum = mix(mix(sum, uint64(n.entry.Flags)), uint64(n.entry.Major)<<32|uint64(n.entry.Minor))
	if n.names == nil {
		sum = mix(sum, uint64(n.entry.ModTime.UnixNano()))
	}
	xattrs := uint64(0)
	for name, value := range n.entry.Xattrs {
		xattrs += mix(maphash.String(modelSeed, name), maphash.String(modelSeed, value))
	}
	return mix(sum, xattrs)
}
