package hashdiff

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symlinks Linux follows on one way (path_resolution(7)).
const maxLinks = 40

// resolve follows the symlinks of a path as a process does whose root that is:
// filepath.EvalSymlinks would leave the root. It returns the entry path of what it
// leads to, and the first name on the way that is not there, or "".
func resolve(root, name string) (entry, missing string, err error) {
	entry = "."
	rest := split(name)
	for links := 0; len(rest) > 0; {
		next := path.Join(entry, rest[0])
		if next == ".." { // the root is above itself
			next = "."
		}
		rest = rest[1:]
		target, err := os.Readlink(filepath.Join(root, host(next)))
		switch {
		case err == nil:
			if links++; links > maxLinks {
				return "", "", &os.PathError{Op: "resolve", Path: name, Err: syscall.ELOOP}
			}
			if v := filepath.VolumeName(target); v != "" && !strings.EqualFold(v, filepath.VolumeName(root)) {
				return "", "", &os.PathError{Op: "resolve", Path: name, Err: errors.New("it leads to another volume: " + target)}
			}
			if filepath.IsAbs(target) || strings.HasPrefix(target, "/") {
				entry = "."
			}
			rest = append(split(target), rest...)
			continue
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return path.Join(append([]string{next}, rest...)...), next, nil
		}
		entry = next
	}
	return entry, "", nil
}

// split returns the names of a path; those of an absolute one begin at its root.
func split(name string) []string {
	name = filepath.ToSlash(name[len(filepath.VolumeName(name)):])
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}
