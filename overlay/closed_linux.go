package overlay

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sandbox-install/sandbox-install/plist"
)

// isClosed reports whether an error says that the user may not read what a mirror shows.
// It may have come to another path all the same, when a directory above it was renamed.
func (w *walker) isClosed(err error) bool {
	return w.layer.isBelieved() && errors.Is(err, fs.ErrPermission)
}

// noteClosed says that something is left out for that.
func (w *walker) noteClosed(path string) {
	w.notes = append(w.notes, plist.Note{
		Kind: plist.NoteHole,
		Text: fmt.Sprintf("%q, or what is in it, is not in the list, since this user may not read it", "/"+path),
	})
}
