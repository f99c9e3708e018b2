package plist

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The native text form uses the line syntax of mtree(5): a vis(3)-escaped path
// and keyword=value words, each line whole (no /set, no continuation). Keywords
// that mtree(5) has keep their meaning; ours are op, change, class, rule, by,
// blake3, hardlink, inodeflags, rebased, was, old.AT.COUNT and xattr.NAME. Lines that begin with # are the
// header: the first names form and version, the second the package, and each
// note has its own.
const nativeMagic = "#mtree sandbox-install 1"

// ErrNotNative says that a text is no native packing list at all.
var ErrNotNative = errors.New("not a native packing list")

// IsNative reports whether a text that begins so is a native packing list.
func IsNative(head []byte) bool { return bytes.HasPrefix(head, []byte(nativeMagic+"\n")) }

// typeNames are the words of mtree(5)'s keyword type.
var typeNames = map[fs.FileMode]string{
	0:                                 "file",
	fs.ModeDir:                        "dir",
	fs.ModeSymlink:                    "link",
	fs.ModeDevice:                     "block",
	fs.ModeDevice | fs.ModeCharDevice: "char",
	fs.ModeNamedPipe:                  "fifo",
	fs.ModeSocket:                     "socket",
}

var opNames = map[Op]string{OpAdd: "add", OpModify: "modify", OpDelete: "delete"}

// WriteNative writes l in the native text form. The same list always gives the
// same bytes. A list that is not valid is not written.
func WriteNative(w io.Writer, l *List) error {
	if err := l.Validate(); err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 64<<10)
	line := l.header()
	for i := range l.Entries {
		line.entry(&l.Entries[i])
		if _, err := bw.Write(line); err != nil {
			return err
		}
		line = line[:0]
	}
	if _, err := bw.Write(line); err != nil { // the header of an empty list
		return err
	}
	return bw.Flush()
}

// nativeLine is a line being written.
type nativeLine []byte

func (b *nativeLine) word(key, value string) {
	*b = append(*b, ' ')
	*b = append(*b, key...)
	*b = append(*b, '=')
	*b = append(*b, value...)
}

func (b *nativeLine) uint(key string, v uint32) {
	b.word(key, strconv.FormatUint(uint64(v), 10))
}

// entry appends the whole line of e.
func (b *nativeLine) entry(e *Entry) {
	*b = append(*b, visPath(e.Path)...)
	b.word("op", opNames[e.Op])
	if e.Changed != 0 {
		b.word("change", e.Changed.String())
	}
	if e.Class != ClassChanged {
		b.word("class", e.Class.String())
	}
	if e.Rule != "" {
		b.word("rule", Vis(e.Rule))
	}
	if len(e.By) > 0 {
		b.word("by", visWords(e.By))
	}
	b.word("type", typeNames[e.Mode.Type()])
	if e.Described() {
		b.attributes(e)
	} else if e.Digest != (Digest{}) {
		b.word("was", e.Digest.String())
	}
	*b = append(*b, '\n')
}

// visWords escapes words, and joins them by commas.
func visWords(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(Vis(w), ",", `\054`))
	}
	return b.String()
}

// attributes appends what only a described path has.
func (b *nativeLine) attributes(e *Entry) {
	perm := UnixPerm(e.Mode)
	b.word("mode", string([]byte{'0' + byte(perm>>9), '0' + byte(perm>>6&7), '0' + byte(perm>>3&7), '0' + byte(perm&7)}))
	b.uint("uid", e.UID)
	b.uint("gid", e.GID)
	b.word("time", formatTime(e.ModTime))
	switch {
	case e.Mode.IsRegular():
		b.word("size", strconv.FormatInt(e.Size, 10))
		b.word("blake3", e.Digest.String())
	case e.Mode.Type() == fs.ModeSymlink:
		b.word("link", Vis(e.Link))
	case e.Mode&fs.ModeDevice != 0:
		b.word("device", fmt.Sprintf("native,%d,%d", e.Major, e.Minor))
	}
	if e.IsHardlink() {
		b.word("hardlink", visPath(e.Link))
	}
	if e.Flags != 0 {
		b.word("inodeflags", fmt.Sprintf("%#x", e.Flags))
	}
	if r := e.Rebased; r != nil {
		b.word("rebased", fmt.Sprintf("%#x,%#x,%v", r.From, r.To, r.Digest))
	}
	if w := e.Was; w != nil {
		b.word("was", w.Digest.String())
		for _, o := range w.Old {
			b.word(fmt.Sprintf("old.%d.%d", o.At, o.Count), Vis(o.Text))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		b.word("xattr."+Vis(name), base64.StdEncoding.EncodeToString([]byte(e.Xattrs[name])))
	}
}

// formatTime writes whole seconds since 1970, rounded down, and nanoseconds
// after them: half a second before 1970 is -1.500000000.
func formatTime(t time.Time) string {
	nsec := strconv.Itoa(1e9 + t.Nanosecond())
	return strconv.FormatInt(t.Unix(), 10) + "." + nsec[1:]
}
