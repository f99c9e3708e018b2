package unpack

import (
	"maps"
	"slices"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Record is what is known of an installed package.
type Record struct {
	// Transaction is the number of the one that installed it.
	Transaction int

	// written is the number of the one that wrote this record: a later one, if what the
	// package displaced is another since, or its configuration was merged.
	written int

	// Packaged is the packing list as it came.
	Packaged *plist.List

	// Installed is what the package has in the root, by real paths; what it
	// deleted too, as deletions.
	Installed *plist.List

	// Displaced is what was there before, of the same paths. What is missing from
	// it was not there.
	Displaced *plist.List

	// Merges are the configuration files that the user has changed and the package
	// too, and that wait for being merged.
	Merges []Merge

	// Edits are the lines that the package has in shared files. All are additions.
	Edits []Edit

	sources  sourceMap      // where the content of what was displaced is
	dir      string         // where it was read from; of a new one, where the old one was
	pristine []plist.Digest // configuration as packaged, which is kept in dir
	fresh    []plist.Digest // and what is to be kept besides
}

// Name returns the package's name.
func (r *Record) Name() string { return r.Packaged.Name }

// marshal returns a line a path.
func (m sourceMap) marshal() []byte {
	var b quotedLines
	for _, path := range slices.SortedFunc(maps.Keys(m), plist.ComparePaths) {
		b.add(path, m[path])
	}
	return b
}

// unmarshal is the inverse of marshal.
func (m sourceMap) unmarshal(text []byte) error {
	return readQuoted(text, 2, func(words []string) error {
		m[words[0]] = words[1]
		return nil
	})
}

// subset returns the entries of l that are to be kept, hard links repaired: the
// first name that is left becomes the first name.
func subset(l *plist.List, keep func(*plist.Entry) bool) *plist.List {
	var kept []displaced
	for i := range l.Entries {
		if keep(&l.Entries[i]) {
			kept = append(kept, displaced{l.Entries[i], l})
		}
	}
	out := listOf(kept)
	out.Name, out.Version, out.Prefix = l.Name, l.Version, l.Prefix
	return out
}
