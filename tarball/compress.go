package tarball

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how an archive is compressed. It reads and writes its name as
// an [encoding.TextMarshaler] and TextUnmarshaler.
type Compression uint8

// The compressions.
const (
	Zstd Compression = iota
	Gzip
	None
)

// compressions has a row for each Compression; None comes last.
var compressions = [...]struct {
	name, suffix, magic string
	compress            func(io.Writer) (io.WriteCloser, error)
	decompress          func(io.Reader) (io.ReadCloser, error)
}{
	Zstd: {"zstd", ".tar.zst", "\x28\xb5\x2f\xfd", compressZstd, decompressZstd},
	Gzip: {"gzip", ".tar.gz", "\x1f\x8b", compressGzip, decompressGzip},
	None: {"none", ".tar", "", compressNone, nil},
}

// String returns "zstd", "gzip" or "none".
func (c Compression) String() string { return compressions[c].name }

// Suffix returns what the name of such a file ends in, ".tar.zst" for one.
func (c Compression) Suffix() string { return compressions[c].suffix }

// MarshalText returns String.
func (c Compression) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (c *Compression) UnmarshalText(text []byte) error {
	var names []string
	for i, row := range compressions {
		if row.name == string(text) {
			*c = Compression(i)
			return nil
		}
		names = append(names, row.name)
	}
	return fmt.Errorf("unknown compression %q: want one of %s", text, strings.Join(names, ", "))
}

// compressZstd works on several CPUs, four at most, each with some 20 MB. Which
// parts are compressed apart depends on the window only, not on how many work, as
// long as there are two or more.
func compressZstd(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w,
		zstd.WithEncoderConcurrency(max(2, min(4, runtime.GOMAXPROCS(0)))),
		zstd.WithConcurrentBlocks(true),
		zstd.WithWindowSize(zstdWindow))
}

// zstdWindow is that of zstd -3.
const zstdWindow = 2 << 20

// maxWindow is what zstd -d accepts without being asked for more.
const maxWindow = 128 << 20

func decompressZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func compressGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }

// decompressGzip has nothing to close: a gzip.Reader's Close only says once more
// what its Read has said.
func decompressGzip(r io.Reader) (io.ReadCloser, error) {
	z, err := gzip.NewReader(r)
	return io.NopCloser(z), err
}

func compressNone(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Decompress detects how r is compressed, and takes it for [None] if it is not
// zstd or gzip.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	for _, row := range compressions[:None] {
		// An input shorter than a magic has none; other errors come again with reading.
		if magic, _ := br.Peek(len(row.magic)); string(magic) == row.magic {
			return row.decompress(br)
		}
	}
	return io.NopCloser(br), nil
}
