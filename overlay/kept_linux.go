package overlay

import (
	"bytes"
	"io"
	"sync"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// These bound what is kept of files: the size of one, what one costs besides its
// bytes, and all of it.
const (
	keptSize = 64 << 10
	keptCost = 128
	keptRoom = 32 << 20
)

// A keep holds the bytes of small files that were read for their digests until
// they are packed: to open a small file a second time takes longer than to read it.
type keep struct {
	mu    sync.Mutex
	used  int
	files map[string][]byte // by entry path
}

func newKeep() *keep { return &keep{files: make(map[string][]byte)} }

// reserve reports whether there is room for a file of that size, and takes it.
func (k *keep) reserve(size int64) bool {
	if size > keptSize {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.used+int(size)+keptCost > keptRoom {
		return false
	}
	k.used += int(size) + keptCost
	return true
}

// digest reads and hashes the open file of an entry, and keeps its bytes if there
// is room. One with a block of zeros, which may be a hole, is not kept: the tarball
// looks for holes in files.
func (k *keep) digest(e *plist.Entry, fd int) (plist.Digest, error) {
	if !k.reserve(e.Size) {
		return digest(fd, e.Size)
	}
	data := make([]byte, e.Size)
	n, err := io.ReadFull(reader(fd), data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return plist.Digest{}, err
	}
	if n == len(data) && !hasZeroBlock(data) {
		k.mu.Lock()
		k.files[e.Path] = data
		k.mu.Unlock()
	}
	return capture.Digest(bytes.NewReader(data[:n]))
}

// open returns a file that was kept, or nil.
func (k *keep) open(path string) plist.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	data, ok := k.files[path]
	if !ok {
		return nil
	}
	return keptFile{bytes.NewReader(data)}
}

type keptFile struct{ *bytes.Reader }

func (keptFile) Close() error { return nil }

// hasZeroBlock reports whether a block, as small as file systems have them, is all
// zeros.
func hasZeroBlock(data []byte) bool {
	const block = 512
	var zeros [block]byte
	for len(data) > 0 {
		b := data[:min(len(data), block)]
		if bytes.Equal(b, zeros[:len(b)]) {
			return true
		}
		data = data[len(b):]
	}
	return false
}
