package unpack

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Regen returns an installed package as it came, with the content that the root has
// now; configuration that the user changed comes from the record. It is Refused,
// before anything is read twice, if content was modified otherwise.
func (r *Root) Regen(name string) (*Package, error) {
	rec, err := r.Package(name)
	if err != nil {
		return nil, err
	}
	tree := &regenTree{root: r, rec: rec, places: make(map[string]string)}
	dirs := newDirs(r, rec.Packaged)
	var refused Refused
	for i := range rec.Packaged.Entries {
		e := &rec.Packaged.Entries[i]
		if !e.Packed() || !e.HasContent() {
			continue
		}
		real, err := dirs.place(e.Path)
		if err != nil {
			return nil, err
		}
		what, err := tree.find(e, real)
		if err != nil {
			return nil, err
		}
		if what != "" {
			refused = append(refused, Refusal{Path: real, Reason: what})
		}
	}
	if refused != nil {
		return nil, refused
	}
	return &Package{rec.Packaged, tree}, nil
}

// A regenTree is the content of an installed package.
type regenTree struct {
	root   *Root
	rec    *Record
	places map[string]string // entry path -> real path; "" if the record has it
}

// find looks for the content of an entry. It returns why there is none.
func (t *regenTree) find(e *plist.Entry, real string) (string, error) {
	now, _, err := t.root.sys.lstat(real, andHash)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	switch {
	case err == nil && now.Mode.IsRegular() && now.Digest == e.Digest:
		t.places[e.Path] = real
	case slices.Contains(t.rec.pristine, e.Digest):
		t.places[e.Path] = ""
	case err != nil:
		return "is not there any more", nil
	default:
		return "was modified since it was unpacked", nil
	}
	return "", nil
}

func (t *regenTree) Open(path string) (plist.File, error) {
	if real := t.places[path]; real != "" {
		f, err := t.root.sys.openFile(real)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return t.root.openPristine(t.rec, t.rec.Packaged.Find(path).Digest)
}
