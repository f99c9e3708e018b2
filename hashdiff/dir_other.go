//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package hashdiff

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A dir is a directory by its path.
type dir struct {
	path string
	held holds
}

// holds counts nothing: there is nothing to be closed.
type holds struct{}

func (holds) Add(int32) int32 { return 0 }

func openDir(path string) (*dir, error) {
	_, err := os.Stat(path)
	return &dir{path: path}, err
}

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

func (d *dir) open(name string) (*dir, error) { return &dir{path: d.join(name)}, nil }

func (d *dir) release() {}

// list returns the names in the directory.
func (d *dir) list([]byte) ([]name, error) {
	found, err := os.ReadDir(d.path)
	return namesOf(found), err
}

// stat reads the mode of a name. There are no numbers to be had that change with
// every write.
func (d *dir) stat(name string) (Stamp, fs.FileMode, error) {
	st, err := os.Lstat(d.join(name))
	if err != nil {
		return Stamp{}, 0, err
	}
	return Stamp{}, st.Mode(), nil
}

// lstat reads the attributes of a name.
func (d *dir) lstat(name string) (plist.Entry, error) {
	st, err := os.Lstat(d.join(name))
	if err != nil {
		return plist.Entry{}, err
	}
	e := plist.Entry{Mode: st.Mode(), ModTime: st.ModTime()}
	switch {
	case e.Mode.IsRegular():
		e.Size = st.Size()
	case e.Mode&fs.ModeSymlink != 0:
		e.Link, err = os.Readlink(d.join(name))
	}
	return e, err
}

func (d *dir) openFile(name string) (*os.File, error) { return os.Open(d.join(name)) }

// isPseudo is always false: there are no file systems without files.
func (d *dir) isPseudo() (bool, error) { return false, nil }
