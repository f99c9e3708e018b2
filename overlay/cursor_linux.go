package overlay

import (
	"encoding/binary"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A cursor stands in one directory of a tree and moves a step at a time. It holds
// one descriptor, however deep it is, and never a path: there are trees deeper
// than PATH_MAX.
type cursor struct{ fd int }

func newCursor(root *os.File) (cursor, error) {
	fd, err := capture.OpenAt(int(root.Fd()), ".")
	return cursor{fd}, err
}

// move goes down to a child, or up with "..". Where no process is left to rename
// a directory, ".." is the way one came.
func (c *cursor) move(name string) error {
	fd, err := capture.OpenAt(c.fd, name)
	if err != nil {
		return err
	}
	unix.Close(c.fd)
	c.fd = fd
	return nil
}

// close closes a cursor; one that was never opened has no descriptor.
func (c *cursor) close() { unix.Close(c.fd) }

// A dirent is what a directory says of one of its names.
type dirent struct {
	ino  uint64
	typ  uint8 // DT_REG, DT_DIR ...; DT_UNKNOWN on some file systems
	name string
}

// names returns the names in the directory, sorted. It may be called once after
// each move.
func (c *cursor) names() ([]string, error) {
	var names []string
	err := c.read(func(d dirent) { names = append(names, d.name) })
	slices.Sort(names)
	return names, err
}

// read gives every entry of the directory but "." and ".." to found.
func (c *cursor) read(found func(dirent)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.ReadDirent(c.fd, buf)
		if err != nil || n == 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			// struct linux_dirent64 of getdents(2): ino and off of 8 bytes, reclen
			// of 2, type of 1, then the name, padded with NULs.
			size := binary.NativeEndian.Uint16(rest[16:])
			d := dirent{ino: binary.NativeEndian.Uint64(rest), typ: rest[18]}
			d.name = unix.ByteSliceToString(rest[19:size])
			if d.name != "." && d.name != ".." {
				found(d)
			}
			rest = rest[size:]
		}
	}
}

// countBelow is count, and leaves the cursor as it was.
func (c *cursor) countBelow() (int, error) {
	fd, err := capture.OpenAt(c.fd, ".")
	if err != nil {
		return 0, err
	}
	other := cursor{fd}
	defer other.close()
	return other.count()
}

// count returns how many names there are in the directory and below it.
func (c *cursor) count() (int, error) {
	var dirs []string
	n := 0
	err := c.read(func(d dirent) {
		n++
		if d.typ == unix.DT_DIR {
			dirs = append(dirs, d.name)
		}
	})
	if err != nil {
		return n, err
	}
	for _, dir := range dirs {
		if err := c.move(dir); err != nil {
			return n, err
		}
		below, err := c.count()
		if err != nil {
			return n, err
		}
		if err := c.move(".."); err != nil {
			return n, err
		}
		n += below
	}
	return n, nil
}
