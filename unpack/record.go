package unpack

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Record is what is known of an installed package.
type Record struct {
	// Transaction is the number of the one that installed it.
	Transaction int

	// Packaged is the packing list as it came.
	Packaged *plist.List

	// Installed is what the package has in the root, by real paths; what it
	// deleted too, as deletions.
	Installed *plist.List

	// Displaced is what was there before, of the same paths. What is missing from
	// it was not there.
	Displaced *plist.List

	// sources says where the content of what was displaced is.
	sources sourceMap
}

// Name returns the package's name.
func (r *Record) Name() string { return r.Packaged.Name }

// marshal returns a line a path.
func (m sourceMap) marshal() []byte {
	var b bytes.Buffer
	for _, path := range slices.SortedFunc(maps.Keys(m), plist.ComparePaths) {
		fmt.Fprintf(&b, "%q %q\n", path, m[path])
	}
	return b.Bytes()
}

// unmarshal is the inverse of marshal.
func (m sourceMap) unmarshal(text []byte) error {
	for line := range strings.Lines(string(text)) {
		first, err := strconv.QuotedPrefix(line)
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		path, err := strconv.Unquote(first)
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		source, err := strconv.Unquote(strings.TrimSpace(line[len(first):]))
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		m[path] = source
	}
	return nil
}

// subset returns the entries of l that are to be kept, hard links repaired: the
// first name that is left becomes the first name.
func subset(l *plist.List, keep func(*plist.Entry) bool) *plist.List {
	out := &plist.List{Name: l.Name, Version: l.Version, Prefix: l.Prefix}
	first := make(map[string]string) // first name in l -> first one kept
	for i := range l.Entries {
		e := l.Entries[i]
		if !keep(&e) {
			continue
		}
		if linkable(&e) && e.Op != plist.OpDelete {
			body := bodyOf(&e)
			if first[body] == "" {
				first[body] = e.Path
				e.Link = ""
			} else {
				e.Link = first[body]
			}
		}
		out.Entries = append(out.Entries, e)
	}
	return out
}
