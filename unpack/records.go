package unpack

import (
	"fmt"
	"io"
	"path"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The files of a record.
const (
	packagedFile  = "packaged.plist"
	installedFile = "installed.plist"
	displacedFile = "displaced.plist"
	sourcesFile   = "sources"
	mergesFile    = "merges"
	numberFile    = "transaction"
	pristineDir   = "pristine" // configuration as packaged, by digest
)

// writeRecord makes the directory of a record.
func (r *Root) writeRecord(dir string, rec *Record) error {
	if err := r.sys.mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{packagedFile, writeList(rec.Packaged)},
		{installedFile, writeList(rec.Installed)},
		{displacedFile, writeList(rec.Displaced)},
		{sourcesFile, writeBytes(rec.sources.marshal())},
		{mergesFile, writeBytes(marshalMerges(rec.Merges))},
		{editsFile, writeBytes(marshalEdits(rec.Edits))},
		{numberFile, writeBytes(fmt.Appendln(nil, rec.Transaction, rec.written))},
	} {
		if err := r.writeFile(path.Join(dir, file.name), file.write); err != nil {
			return err
		}
	}
	if err := r.keepPristine(dir, rec); err != nil {
		return err
	}
	return r.sys.fsync(dir)
}

// keepPristine gives a record that is written the configuration that it had where it
// was read from.
func (r *Root) keepPristine(dir string, rec *Record) error {
	if err := r.sys.mkdir(path.Join(dir, pristineDir), 0o755); err != nil {
		return err
	}
	if rec.dir == "" {
		return nil
	}
	for _, d := range rec.pristine {
		if err := r.sys.link(path.Join(rec.dir, pristineDir, d.String()), path.Join(dir, pristineDir, d.String())); err != nil {
			return err
		}
	}
	return r.sys.fsync(path.Join(dir, pristineDir))
}

// readRecord is the inverse of writeRecord; nil if there is none.
func (r *Root) readRecord(dir string) (*Record, error) {
	if ok, err := r.sys.exists(dir); !ok {
		return nil, err
	}
	rec := &Record{sources: make(sourceMap), dir: dir}
	for name, list := range map[string]**plist.List{
		packagedFile: &rec.Packaged, installedFile: &rec.Installed, displacedFile: &rec.Displaced,
	} {
		var err error
		if *list, err = r.readList(path.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	text, err := r.readFile(path.Join(dir, sourcesFile))
	if err != nil {
		return nil, err
	}
	if err := rec.sources.unmarshal(text); err != nil {
		return nil, fmt.Errorf("/%s: %w", path.Join(dir, sourcesFile), err)
	}
	if text, err = r.readFile(path.Join(dir, numberFile)); err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanln(string(text), &rec.Transaction, &rec.written); err != nil {
		return nil, fmt.Errorf("/%s: %w", path.Join(dir, numberFile), err)
	}
	return rec, r.readChanges(rec)
}

// readChanges reads of a record what tells of files that the package shares with the
// user and others.
func (r *Root) readChanges(rec *Record) error {
	text, err := r.readFile(path.Join(rec.dir, mergesFile))
	if err == nil {
		rec.Merges, err = unmarshalMerges(text)
	}
	if err != nil {
		return fmt.Errorf("/%s: %w", path.Join(rec.dir, mergesFile), err)
	}
	if text, err = r.readFile(path.Join(rec.dir, editsFile)); err == nil {
		rec.Edits, err = unmarshalEdits(text)
	}
	if err != nil {
		return fmt.Errorf("/%s: %w", path.Join(rec.dir, editsFile), err)
	}
	names, err := r.sys.readDir(path.Join(rec.dir, pristineDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		d, err := parseDigest(name)
		if err != nil {
			return fmt.Errorf("/%s: %w", path.Join(rec.dir, pristineDir), err)
		}
		rec.pristine = append(rec.pristine, d)
	}
	return nil
}
