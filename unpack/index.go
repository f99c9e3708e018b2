package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unsafe"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// The index tells who has a path without reading all packing lists. It is made
// from them, may be deleted at any time, and is used only if it is of the last
// transaction. All numbers are little-endian; paths are in the order of
// plist.ComparePaths, in blocks:
//
//	header   magic; u64 transaction; u32 paths, blocks, sets; u32 zero; u64 offset of
//	         the table of blocks, of the table of sets, of the end
//	digest   BLAKE3 of all that follows
//	blocks   paths, each: uvarint bytes shared with the one before, uvarint bytes of
//	         its own, those, uvarint number of its set of owners; the first of a
//	         block shares nothing
//	table    u32 offset of each block
//	table    u32 offset of each set
//	sets     lines of quoted words: name and transaction of each owner in turn, the
//	         latter with "/" if it is a directory, "-" if it deleted what was there
const (
	indexMagic  = "sbxindx2"
	indexHeader = 8 + 8 + 4*4 + 3*8
	indexBody   = indexHeader + 32
	blockPaths  = 16
)

// An owner is a package that has a path, or has deleted what was there, and the
// transaction that it came with.
type owner struct {
	name        string
	transaction int
	what        claim
}

// A claim is what an owner has at a path.
type claim byte

const (
	aFile     claim = ' ' // anything but a directory
	aDir      claim = '/'
	aDeletion claim = '-'
)

func claimOf(e *plist.Entry) claim {
	switch {
	case e.Op == plist.OpDelete:
		return aDeletion
	case e.Mode.IsDir():
		return aDir
	}
	return aFile
}

// compare orders owners by their transactions.
func (o owner) compare(other owner) int { return o.transaction - other.transaction }

// An ownership is a path and its owners, in the order of their transactions.
type ownership struct {
	path   string
	owners []owner
}

// encodeIndex makes an index. The paths must be in order, each once.
func encodeIndex(transaction int, all []ownership) ([]byte, error) {
	out := make([]byte, indexBody, indexBody+24*len(all))
	var blocks, offsets []uint32
	sets := make(map[string]uint64)
	var texts [][]byte
	last := ""
	for i, o := range all {
		shared := 0
		if i%blockPaths == 0 {
			blocks = append(blocks, uint32(len(out)))
		} else {
			shared = commonPrefix(last, o.path)
		}
		text := marshalOwners(o.owners)
		set, ok := sets[string(text)]
		if !ok {
			set = uint64(len(texts))
			sets[string(text)], texts = set, append(texts, text)
		}
		out = binary.AppendUvarint(out, uint64(shared))
		out = binary.AppendUvarint(out, uint64(len(o.path)-shared))
		out = append(out, o.path[shared:]...)
		out = binary.AppendUvarint(out, set)
		last = o.path
	}
	h := out[len(indexMagic):]
	copy(out, indexMagic)
	binary.LittleEndian.PutUint64(h, uint64(transaction))
	for i, n := range []int{len(all), len(blocks), len(texts)} {
		binary.LittleEndian.PutUint32(h[8+4*i:], uint32(n))
	}
	ends := []int{len(out)}
	for _, b := range blocks {
		out = binary.LittleEndian.AppendUint32(out, b)
	}
	ends = append(ends, len(out))
	at := len(out) + 4*len(texts)
	for _, text := range texts {
		offsets = append(offsets, uint32(at))
		at += len(text)
	}
	for _, o := range offsets {
		out = binary.LittleEndian.AppendUint32(out, o)
	}
	for _, text := range texts {
		out = append(out, text...)
	}
	if int64(len(out)) > 1<<32-1 {
		return nil, errors.New("index: more than 4 GiB")
	}
	h = out[len(indexMagic):]
	for i, n := range append(ends, len(out)) {
		binary.LittleEndian.PutUint64(h[24+8*i:], uint64(n))
	}
	d, err := capture.Digest(bytes.NewReader(out[indexBody:]))
	copy(out[indexHeader:], d[:])
	return out, err
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func marshalOwners(owners []owner) []byte {
	var words []string
	for _, o := range owners {
		number := strconv.Itoa(o.transaction)
		if o.what != aFile {
			number += string(rune(o.what))
		}
		words = append(words, o.name, number)
	}
	var b quotedLines
	b.add(words...)
	return b
}

func unmarshalOwners(line string) ([]owner, error) {
	words, err := unquote(line)
	if err != nil || len(words)%2 != 0 {
		return nil, fmt.Errorf("owners %q: malformed", line)
	}
	var owners []owner
	for ; len(words) > 0; words = words[2:] {
		o := owner{name: words[0], what: aFile}
		number := words[1]
		if end := len(number) - 1; end > 0 && (number[end] == byte(aDir) || number[end] == byte(aDeletion)) {
			o.what, number = claim(number[end]), number[:end]
		}
		if o.transaction, err = strconv.Atoi(number); err != nil {
			return nil, err
		}
		owners = append(owners, o)
	}
	return owners, nil
}

// An index is an encoded one, looked into where it is.
type index struct {
	data         []byte
	transaction  int
	paths        int
	blocks, sets []byte             // tables of u32
	known        map[uint64][]owner // sets that were looked at
}

var errIndex = errors.New("index: malformed")

// decodeIndex looks at the header. What else may be wrong is an error where it is
// met, and is never outside of data.
func decodeIndex(data []byte) (*index, error) {
	if len(data) < indexBody || string(data[:len(indexMagic)]) != indexMagic {
		return nil, errIndex
	}
	h := data[len(indexMagic):]
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(h[at:])) }
	x := &index{known: make(map[uint64][]owner), data: data, transaction: int(binary.LittleEndian.Uint64(h)), paths: int(u32(8))}
	blocks, sets := u32(12), u32(16)
	at, setsAt, end := binary.LittleEndian.Uint64(h[24:]), binary.LittleEndian.Uint64(h[32:]), binary.LittleEndian.Uint64(h[40:])
	if end != uint64(len(data)) || at < indexBody || at+4*blocks != setsAt || setsAt+4*sets > end {
		return nil, errIndex
	}
	x.blocks, x.sets = data[at:setsAt], data[setsAt:setsAt+4*sets]
	return x, nil
}

// verify compares the content with its digest.
func (x *index) verify() error {
	d, err := capture.Digest(bytes.NewReader(x.data[indexBody:]))
	if err == nil && !bytes.Equal(d[:], x.data[indexHeader:indexBody]) {
		err = errIndex
	}
	return err
}

// entry decodes the path at an offset, given the one before it. It returns the
// offset of the next.
func (x *index) entry(at int, last []byte) (path []byte, set uint64, next int, err error) {
	shared, n := binary.Uvarint(x.data[min(at, len(x.data)):])
	own, m := binary.Uvarint(x.data[min(at+max(n, 0), len(x.data)):])
	from := at + n + m
	if n <= 0 || m <= 0 || shared > uint64(len(last)) || own > uint64(len(x.data)-from) {
		return nil, 0, 0, errIndex
	}
	path = append(last[:shared], x.data[from:from+int(own)]...)
	set, n = binary.Uvarint(x.data[from+int(own):])
	if n <= 0 {
		return nil, 0, 0, errIndex
	}
	return path, set, from + int(own) + n, nil
}

// find returns the owners of a path, and who deleted it; none if there is none.
func (x *index) find(path string) ([]owner, error) {
	low, high := 0, len(x.blocks)/4 // the block is before high
	for low < high {
		middle := (low + high) / 2
		first, err := x.first(middle)
		if err != nil {
			return nil, err
		}
		if plist.ComparePaths(first, path) > 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	block := low - 1
	if block < 0 {
		return nil, nil
	}
	var buf [256]byte
	at, last := x.blockAt(block), buf[:0]
	for i := block * blockPaths; i < min(x.paths, (block+1)*blockPaths); i++ {
		p, set, next, err := x.entry(at, last)
		if err != nil {
			return nil, err
		}
		if string(p) == path {
			return x.owners(set)
		}
		at, last = next, p
	}
	return nil, nil
}

func (x *index) blockAt(block int) int { return int(binary.LittleEndian.Uint32(x.blocks[4*block:])) }

// first returns the first path of a block, which is there as a whole. The string is
// the index's memory.
func (x *index) first(block int) (string, error) {
	rest := x.data[min(x.blockAt(block), len(x.data)):]
	shared, n := binary.Uvarint(rest)
	own, m := binary.Uvarint(rest[max(n, 0):])
	if n <= 0 || m <= 0 || shared != 0 || own == 0 || own > uint64(len(rest)-n-m) {
		return "", errIndex
	}
	return unsafe.String(&rest[n+m], int(own)), nil
}

// owners returns a set of owners.
func (x *index) owners(set uint64) ([]owner, error) {
	if owners, ok := x.known[set]; ok {
		return owners, nil
	}
	if set >= uint64(len(x.sets)/4) {
		return nil, errIndex
	}
	at := int(binary.LittleEndian.Uint32(x.sets[4*set:]))
	if at > len(x.data) {
		return nil, errIndex
	}
	line, _, ok := bytes.Cut(x.data[at:], []byte{'\n'})
	if !ok {
		return nil, errIndex
	}
	owners, err := unmarshalOwners(string(line))
	if err == nil {
		x.known[set] = owners
	}
	return owners, err
}

// all calls do with each path in order.
func (x *index) all(do func(ownership)) error {
	at, last := indexBody, []byte(nil)
	for i := range x.paths {
		if i%blockPaths == 0 {
			last = last[:0]
		}
		p, set, next, err := x.entry(at, last)
		if err != nil {
			return err
		}
		owners, err := x.owners(set)
		if err != nil {
			return err
		}
		do(ownership{string(p), owners})
		at, last = next, p
	}
	return nil
}

// changeOwner returns ownerships in which the package of a name has, or has deleted, what
// l lists and nothing else.
func changeOwner(all []ownership, name string, transaction int, l *plist.List) []ownership {
	out := make([]ownership, 0, len(all)+64)
	k := 0
	have := func(o ownership, e *plist.Entry) {
		owners := slices.DeleteFunc(slices.Clone(o.owners), func(w owner) bool { return w.name == name })
		if e != nil {
			owners = append(owners, owner{name, transaction, claimOf(e)})
			slices.SortStableFunc(owners, owner.compare)
		}
		if len(owners) > 0 {
			out = append(out, ownership{o.path, owners})
		}
	}
	next := func() *plist.Entry {
		if k == len(l.Entries) {
			return nil
		}
		return &l.Entries[k]
	}
	for _, o := range all {
		for e := next(); e != nil && plist.ComparePaths(e.Path, o.path) < 0; e = next() {
			have(ownership{path: e.Path}, e)
			k++
		}
		e := next()
		if e != nil && e.Path != o.path {
			e = nil
		}
		if e != nil {
			k++
		}
		if e == nil && !slices.ContainsFunc(o.owners, func(w owner) bool { return w.name == name }) {
			out = append(out, o)
			continue
		}
		have(o, e)
	}
	for e := next(); e != nil; e = next() {
		have(ownership{path: e.Path}, e)
		k++
	}
	return out
}
