package unpack

import (
	"fmt"
	"io"
	"path"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// The files of a journal.
const (
	aboutFile  = "about"
	beforeFile = "before.plist"
	afterFile  = "after.plist"
	editsFile  = "edits"

	recordsDir    = "records"     // records to be, by package, until they are in their places
	oldRecordsDir = "old-records" // those that were there
)

// writeJournal makes a transaction the pending one: all of it or nothing.
func (r *Root) writeJournal(t *Transaction, records []*Record) error {
	dir := r.at(unfinishedName)
	if err := r.sys.mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{aboutFile, writeBytes(t.marshal())},
		{beforeFile, writeList(t.Before)},
		{afterFile, writeList(t.After)},
		{editsFile, writeBytes(marshalEdits(t.Edits))},
		{string(swapped) + unsetSuffix, nil},
		{string(aborted) + unsetSuffix, nil},
		{string(reverted) + unsetSuffix, nil},
	} {
		if err := r.writeFile(path.Join(dir, file.name), file.write); err != nil {
			return err
		}
	}
	for _, sub := range []string{recordsDir, oldRecordsDir} {
		if err := r.sys.mkdir(path.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, rec := range records {
		if err := r.writeRecord(path.Join(dir, recordsDir, rec.Name()), rec); err != nil {
			return err
		}
	}
	if err := r.sys.fsync(path.Join(dir, recordsDir)); err != nil {
		return err
	}
	if err := r.sys.fsync(dir); err != nil {
		return err
	}
	if err := r.sys.rename(dir, r.at(pendingName), noReplace); err != nil {
		return err
	}
	return r.sys.fsync(r.state)
}

// readJournal reads the transaction in a directory of the state.
func (r *Root) readJournal(dir string) (*Transaction, error) {
	t, err := r.readAbout(dir)
	if err != nil {
		return nil, err
	}
	if t.Before, err = r.readList(path.Join(dir, beforeFile)); err != nil {
		return nil, err
	}
	if t.After, err = r.readList(path.Join(dir, afterFile)); err != nil {
		return nil, err
	}
	text, err := r.readFile(path.Join(dir, editsFile))
	if err != nil {
		return nil, err
	}
	t.Edits, err = unmarshalEdits(text)
	return t, err
}

// readAbout reads of a transaction all but what it changed.
func (r *Root) readAbout(dir string) (*Transaction, error) {
	text, err := r.readFile(path.Join(dir, aboutFile))
	if err != nil {
		return nil, err
	}
	t := &Transaction{}
	if err := t.unmarshal(text); err != nil {
		return nil, fmt.Errorf("/%s: %w", dir, err)
	}
	return t, nil
}

// journalDigest is the digest of a transaction in the history: of all that says
// what it did.
func (r *Root) journalDigest(dir string) (d plist.Digest, err error) {
	var files []io.Reader
	for _, name := range []string{aboutFile, beforeFile, afterFile, editsFile} {
		f, err := r.sys.openFile(path.Join(dir, name))
		if err != nil {
			return d, err
		}
		defer f.Close() //nolint:errcheck // only read
		files = append(files, f)
	}
	return capture.Digest(io.MultiReader(files...))
}

// A mark says how far the pending transaction is: each stands for a barrier that
// was passed. All but the first are empty and made together with the journal, so
// that a full disk can not forbid to set them.
type mark string

const (
	committed mark = "committed" // all is staged; go forward
	swapped   mark = "swapped"   // all is in its place
	aborted   mark = "aborted"   // it was committed; go back nevertheless
	reverted  mark = "reverted"  // all is in its old place
)

const unsetSuffix = ".unset"

// commit sets the first mark.
func (r *Root) commit(text []byte) error {
	if err := r.writeFile(r.at(pendingName, string(committed)+unsetSuffix), writeBytes(text)); err != nil {
		return err
	}
	return r.setMark(committed)
}

// setMark has a mark on the disk when it returns.
func (r *Root) setMark(m mark) error {
	name := r.at(pendingName, string(m))
	if err := r.sys.rename(name+unsetSuffix, name, noReplace); err != nil {
		return err
	}
	return r.sys.fsync(r.at(pendingName))
}

func (r *Root) hasMark(m mark) (bool, error) {
	return r.sys.exists(r.at(pendingName, string(m)))
}
