package rebase

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Format is how a database is written.
type Format string

// The formats.
const (
	FormatText Format = "text" // of our own: all machines, and what undo needs
	FormatRBII Format = "rbii" // Cygwin's
)

// A Database is the record of which image has which addresses.
type Database struct {
	Path    string // on the host
	Format  Format
	records []Record // sorted by name
	saved   []Record // as in the file; nil if there is none
	opened  []byte   // the file as Open found it; nil if there was none
	header  rbiiHeader
}

// NewDatabase returns an empty database, to be written to path in our text form.
func NewDatabase(path string) *Database {
	return &Database{Path: path, Format: FormatText}
}

// NewRBII returns an empty database in Cygwin's format for images of one
// machine, with the ceiling below which Cygwin's own tool is to place more.
func NewRBII(path string, m Machine, ceiling uint64) *Database {
	return &Database{Path: path, Format: FormatRBII, header: rbiiHeader{machine: m, base: ceiling, down: 1}}
}

// Open reads a database of either format.
func Open(path string) (*Database, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("rebase database: %w", err)
	}
	d := &Database{Path: path, Format: FormatText, opened: b}
	if strings.HasPrefix(string(b), rbiiMagic) {
		d.Format = FormatRBII
		d.header, d.records, err = parseRBII(b)
	} else if strings.HasPrefix(string(b), textMagic) {
		d.records, err = parseText(b)
	} else {
		err = errors.New("neither rBiI nor our text form, version 1")
	}
	if err != nil {
		return nil, fmt.Errorf("rebase database %s: %w", path, err)
	}
	d.saved = append([]Record{}, d.records...)
	return d, nil
}

// Records returns all records, sorted by name. They belong to the database.
func (d *Database) Records() []Record { return d.records }

// Find returns a copy of the record of a name, or nil.
func (d *Database) Find(name string) *Record {
	i, ok := d.find(name)
	if !ok {
		return nil
	}
	r := d.records[i]
	return &r
}

func (d *Database) find(name string) (int, bool) {
	return slices.BinarySearchFunc(d.records, Record{Name: name}, compareNames)
}

// CanHold reports why an image can not be recorded in this database, or nil.
func (d *Database) CanHold(m Machine) error {
	if d.Format == FormatRBII && d.header.machine != m {
		return fmt.Errorf("%s is for %v only", d.Path, d.header.machine)
	}
	return nil
}

// Put adds a record or replaces the one of the same name.
func (d *Database) Put(r Record) {
	if d.Format == FormatRBII {
		r.File, r.Was = nil, nil // so that what is in memory is what will be read back
	}
	if i, ok := d.find(r.Name); ok {
		d.records[i] = r
	} else {
		d.records = slices.Insert(d.records, i, r)
	}
}

// Remove removes the record of a name and reports whether there was one.
func (d *Database) Remove(name string) bool {
	i, ok := d.find(name)
	if ok {
		d.records = slices.Delete(d.records, i, i+1)
	}
	return ok
}

// Save replaces the file, unless it says the same already: a run that changes
// nothing leaves even a database with another tool's garbage as it is.
//
// Preconditions: the caller holds the Lock of d.Path.
func (d *Database) Save() error {
	if d.saved != nil && slices.EqualFunc(d.records, d.saved, func(a, b Record) bool { return a.equal(&b) }) {
		return nil
	}
	b := encodeText(d.records)
	if d.Format == FormatRBII {
		var err error
		if b, err = d.header.encode(d.records); err != nil {
			return err
		}
	}
	if err := saveFile(d.Path, b); err != nil {
		return fmt.Errorf("rebase database: %w", err)
	}
	d.saved = append([]Record{}, d.records...)
	return nil
}

// Revert makes the database, and its file byte for byte, what Open found, whatever
// was saved since.
//
// Preconditions: the caller holds the Lock of d.Path.
func (d *Database) Revert() error {
	var err error
	if d.opened == nil {
		d.records, d.saved = nil, nil
		err = os.Remove(d.Path)
	} else if err = saveFile(d.Path, d.opened); err == nil {
		var before *Database
		if before, err = Open(d.Path); err == nil {
			*d = *before
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rebase database: %w", err)
	}
	return nil
}

// saveFile replaces a file of the host atomically, through symbolic links.
func saveFile(path string, content []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path)
	info, err := root.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := replacement{root: root, name: name, old: info}
	if err := r.stage(content); err != nil {
		return err
	}
	if err := r.commit(); err != nil {
		return errors.Join(err, r.discard())
	}
	return syncDir(root, ".")
}
