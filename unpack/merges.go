package unpack

import "github.com/sandbox-install/sandbox-install/plist"

// A Merge is a configuration file that the user has changed and the package too.
// The user's stays in its place until it is merged.
type Merge struct {
	Path string // real path

	// Base and New are what the package had when the user began to change it, and
	// what it has now. Base is zero if that is not known.
	Base, New plist.Digest
}

func marshalMerges(merges []Merge) []byte {
	var b quotedLines
	for _, m := range merges {
		b.add(m.Path, m.Base.String(), m.New.String())
	}
	return b
}

func unmarshalMerges(text []byte) (merges []Merge, err error) {
	err = readQuoted(text, 3, func(words []string) error {
		m := Merge{Path: words[0]}
		var err error
		if m.Base, err = parseDigest(words[1]); err != nil {
			return err
		}
		m.New, err = parseDigest(words[2])
		merges = append(merges, m)
		return err
	})
	return merges, err
}

// merge returns the pending merge of a path, or nil.
func (r *Record) merge(real string) *Merge {
	for i := range r.Merges {
		if r.Merges[i].Path == real {
			return &r.Merges[i]
		}
	}
	return nil
}
