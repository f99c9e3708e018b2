package rebase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// A File is one image that a plan is made for.
type File struct {
	Name string // to be recorded: the absolute path it has when it is used
	Path string // where it is read and replaced, relative to the plan's root
}

// A subject is a file as the survey found it.
type subject struct {
	File
	links  []File // further names of the same file
	info   fs.FileInfo
	image  *Image
	fixed  *Fixed
	record *Record // of this name, if there is one
	known  bool    // the file is what the record says
	brief  bool    // only the header was read, since the record says enough
	err    error   // not an image, or not to be read
}

// survey reads the headers of all files and, of those that the database does
// not know as they are, the relocation tables. The result is in the order of
// the names, each once.
func survey(ctx context.Context, root *os.Root, files []File, p *Policy) ([]*subject, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path)) })
	files = slices.Compact(files)
	subjects := make([]*subject, len(files))
	for i, f := range files {
		if i > 0 && files[i-1].Name == f.Name {
			return nil, fmt.Errorf("%s: two files are to have this name, %s and %s", f.Name, files[i-1].Path, f.Path)
		}
		subjects[i] = &subject{File: f, record: p.Database.Find(f.Name)}
	}
	if err := each(ctx, subjects, func(s *subject) { s.read(root, p.Compact) }); err != nil {
		return nil, err
	}
	return joinLinks(subjects), nil
}

// read looks at the file. With all, the relocation table is read even if the
// record says enough.
func (s *subject) read(root *os.Root, all bool) {
	s.image, s.fixed, s.known, s.brief, s.err = nil, nil, false, false, nil
	if s.info, s.err = root.Lstat(s.Path); s.err != nil {
		return
	}
	if !s.info.Mode().IsRegular() {
		s.err = errors.New("not a regular file")
		return
	}
	f, err := root.Open(s.Path)
	if err != nil {
		s.err = err
		return
	}
	defer f.Close()
	s.readFrom(f, s.info.Size(), all)
}

// readFrom reads the image from an open file of the given length.
func (s *subject) readFrom(r io.ReaderAt, length int64, all bool) {
	h, err := ReadHeader(r, length)
	if err != nil {
		s.err = err
		return
	}
	s.image = &Image{Header: *h}
	s.known = s.record != nil && s.record.matches(h)
	s.brief = s.known && !all
	if s.brief {
		s.fixed = h.fixed()
	} else {
		s.fixed = s.image.readRest(r)
	}
}

// joinLinks makes one subject of all names that are hard links to one file: the
// one that is recorded already, else the first.
func joinLinks(subjects []*subject) []*subject {
	leader := make(map[[2]uint64]*subject)
	for _, s := range subjects {
		if id, ok := s.inode(); ok && (leader[id] == nil || leader[id].record == nil && s.record != nil) {
			leader[id] = s
		}
	}
	return slices.DeleteFunc(subjects, func(s *subject) bool {
		id, ok := s.inode()
		if !ok || leader[id] == s {
			return false
		}
		leader[id].links = append(leader[id].links, s.File)
		return true
	})
}

// inode identifies a file that has more than one name.
func (s *subject) inode() (id [2]uint64, ok bool) {
	if s.err != nil {
		return id, false
	}
	return inode(s.info)
}
