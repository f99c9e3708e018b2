package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sandbox-install/sandbox-install/plist"
)

// verify looks at what else there is in a directory in which the command touched some
// names: what changed since it began is the work of another process, a daemon that
// it asked, or somebody. In a directory for everybody, like /tmp, that says nothing.
func (h *harvester) verify(place string, touched []string) error {
	d, err := h.at(place)
	if err != nil || d == nil || d.Mode&fs.ModeSticky != 0 && d.Mode.Perm()&0o002 != 0 {
		return err
	}
	names, err := h.read(place)
	if errors.Is(err, fs.ErrPermission) || isGone(err) {
		return nil // there the command could see no more than we
	}
	if err != nil {
		return fmt.Errorf("verify %q: %w", "/"+place, err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := join(place, name)
		if _, found := slices.BinarySearch(touched, name); found || h.journal.owns(host(path)) {
			continue
		}
		s, done, err := reach(h.root, path)
		if err != nil {
			return fmt.Errorf("verify %q: %w", "/"+path, err)
		}
		k, st, err := keyOf(s.dir, s.name)
		done()
		if isGone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("verify %q: %w", "/"+path, err)
		}
		if h.inodes[k] == nil && timeOf(st.Ctime.Sec, int(st.Ctime.Nsec)).After(h.began) {
			h.foreign = append(h.foreign, path)
		}
	}
	return nil
}

// most is how many foreign changes are told one by one.
const most = 100

func (h *harvester) foreignNotes() []plist.Note {
	var notes []plist.Note
	for _, path := range h.foreign[:min(len(h.foreign), most)] {
		notes = append(notes, plist.Note{Kind: plist.NoteForeign, Text: fmt.Sprintf("%q changed meanwhile, and not by the command's processes", "/"+path)})
	}
	if more := len(h.foreign) - most; more > 0 {
		notes = append(notes, plist.Note{Kind: plist.NoteForeign, Text: fmt.Sprintf("%d other paths changed so, too", more)})
	}
	return notes
}
