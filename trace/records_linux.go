package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The records, by their first byte.
const (
	recordInode  = 'I' // an inodeRecord
	recordPlace  = 'P' // inode number, space, entry path: the path led to that inode
	recordAbsent = 'N' // number of the parent's inode, space, name: there was nothing
	recordKept   = 'K' // inode number, space, "link" or "copy": it is kept so, too
	recordMove   = 'R' // a moveRecord: a directory is about to be renamed
	recordRoom   = 'D' // a roomRecord: a room is about to be made
	recordVolume = 'V' // a volumeRecord
)

// An inodeRecord is an inode as JSON: paths and values may hold any byte.
type inodeRecord struct {
	Dev, Ino   uint64
	Born       int64
	Nlink      uint32
	Link, Copy bool `json:",omitempty"`
	Mode       uint32
	UID, GID   uint32 `json:",omitempty"`
	Sec        int64
	Nsec       int
	Size       int64       `json:",omitempty"`
	Major      uint32      `json:",omitempty"`
	Minor      uint32      `json:",omitempty"`
	Flags      uint32      `json:",omitempty"`
	Path       []byte      // entry path
	Target     []byte      `json:",omitempty"`
	Xattrs     [][2][]byte `json:",omitempty"`
}

type moveRecord struct{ From, To []byte }

type roomRecord struct {
	Device uint64
	Path   []byte
}

func (j *journal) addInode(in *inode) error {
	e := &in.before
	r := inodeRecord{
		Dev: in.dev, Ino: in.ino, Born: in.born, Nlink: in.nlink, Link: in.link, Copy: in.copy,
		Mode: plist.UnixMode(e.Mode), UID: e.UID, GID: e.GID, Sec: e.ModTime.Unix(), Nsec: e.ModTime.Nanosecond(),
		Size: e.Size, Major: e.Major, Minor: e.Minor, Flags: e.Flags, Path: []byte(e.Path), Target: []byte(e.Link),
	}
	for name, value := range e.Xattrs {
		r.Xattrs = append(r.Xattrs, [2][]byte{[]byte(name), []byte(value)})
	}
	return j.addJSON(recordInode, r)
}

func (j *journal) addMove(m move) error { return j.add(m.record()) }

func (m move) record() string {
	text, _ := json.Marshal(moveRecord{[]byte(m.from), []byte(m.to)}) // bytes can always be
	return string(recordMove) + string(text)
}

func (j *journal) addJSON(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return j.add(string(kind) + string(text))
}

// read reads all records back.
func (j *journal) read() (*past, error) {
	p := newPast()
	found, err := os.ReadDir(j.log.Name())
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, d := range found {
		if n, err := strconv.Atoi(d.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		texts, err := j.records(n)
		for i := 0; i < len(texts) && err == nil; i++ {
			err = j.replay(p, n+i, texts[i])
		}
		if err != nil {
			return nil, fmt.Errorf("journal %s: record %d: %w", j.path, n, err)
		}
		j.last = n + len(texts) - 1
		if len(texts) == 0 { // its number is the next record's
			if err := os.Remove(filepath.Join(j.log.Name(), strconv.Itoa(n))); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// records reads what has a number: the records from there on.
func (j *journal) records(n int) ([]string, error) {
	name := filepath.Join(j.path, "log", strconv.Itoa(n))
	text, err := os.Readlink(name)
	if err == nil {
		return []string{text}, nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	buf := make([]byte, unix.PathMax) // more than a batch has
	k, err := unix.Getxattr(name, batchXattr, buf)
	if err == nil {
		return strings.Split(strings.TrimSuffix(string(buf[:k]), "\x00"), "\x00"), nil
	}
	if err != unix.ENODATA && err != unix.ENOTSUP {
		return nil, err
	}
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 { // a batch that was about to get its first
		return nil, err
	}
	return []string{string(b)}, nil
}

// replay adds a record.
func (j *journal) replay(p *past, n int, text string) error {
	if text == "" {
		return errors.New("empty")
	}
	kind, text := text[0], text[1:]
	switch kind {
	case recordInode:
		var r inodeRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		in := r.inode(n)
		if now, ok := j.devices[in.dev]; ok {
			in.dev = now
		}
		if in.dev == noDevice {
			p.byID[n] = in
			return nil
		}
		p.meet(in)
		return nil
	case recordVolume:
		var r volumeRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		return j.met(p, &r)
	case recordMove:
		var r moveRecord
		err := json.Unmarshal([]byte(text), &r)
		p.moves = append(p.moves, move{string(r.From), string(r.To)})
		return err
	case recordRoom:
		var r roomRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return err
		}
		if now, ok := j.devices[r.Device]; ok {
			r.Device = now
		}
		return j.openRoom(r.Device, &room{path: string(r.Path)})
	}
	number, rest, _ := strings.Cut(text, " ")
	id, err := strconv.Atoi(number)
	in := p.byID[id]
	if err != nil || in == nil {
		return fmt.Errorf("no inode %q", number)
	}
	if in.dev == noDevice {
		return nil
	}
	switch kind {
	case recordPlace:
		p.places[rest] = in
	case recordAbsent:
		p.places[join(in.before.Path, rest)] = nil
	case recordKept:
		in.link = in.link || rest == "link"
		in.copy = in.copy || rest == "copy"
	default:
		return fmt.Errorf("of unknown kind %q", kind)
	}
	return nil
}

func (r *inodeRecord) inode(id int) *inode {
	in := &inode{id: id, key: key{r.Dev, r.Ino, r.Born}, nlink: r.Nlink, link: r.Link, copy: r.Copy}
	in.before = plist.Entry{
		Path: string(r.Path), Mode: plist.ModeFromUnix(r.Mode), UID: r.UID, GID: r.GID, ModTime: timeOf(r.Sec, r.Nsec),
		Size: r.Size, Major: r.Major, Minor: r.Minor, Flags: r.Flags, Link: string(r.Target),
	}
	for _, x := range r.Xattrs {
		if in.before.Xattrs == nil {
			in.before.Xattrs = make(map[string]string)
		}
		in.before.Xattrs[string(x[0])] = string(x[1])
	}
	return in
}
