package rebase

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Discover finds what Cygwin's _autorebase would look at: the files of installed
// packages, the trees advertised in the files of /var/lib/rebase/dynpath.d,
// localpath.d and userpath.d, and the single files advertised in dynfile.d,
// localfile.d and userfile.d there or, as its README has it, in /var/lib. Beside
// them it searches the trees named in the arguments.
//
// Candidates are chosen by suffix (not the single files); whether they are
// images only their content says, see [Skip].
func Discover(root *Root, o Search) (*Discovered, error) {
	d := &discovery{root: root, search: o, found: make(map[string]bool)}
	if err := d.run(); err != nil {
		return nil, fmt.Errorf("discover images: %w", err)
	}
	for name := range d.found {
		d.Files = append(d.Files, root.FileAt(name))
	}
	slices.SortFunc(d.Files, func(a, b File) int { return plist.ComparePaths(a.Path, b.Path) })
	return &d.Discovered, nil
}

// Discovered is what Discover finds.
type Discovered struct {
	Files   []File   // in the order of plist.ComparePaths
	Missing []string // advertised paths that are not there
	Unread  []error  // what could not be looked at, each with its path; the rest was
}

// A Search says what to discover.
type Search struct {
	Trees      []string // absolute names of further directories
	Programs   bool     // .exe files, too
	Advertised bool     // what packages and the administrator advertise
}

type discovery struct {
	root   *Root
	search Search
	found  map[string]bool // by path
	Discovered
}

func (d *discovery) run() error {
	trees := slices.Clone(d.search.Trees)
	if d.search.Advertised {
		for _, who := range []string{"dyn", "local", "user"} {
			lines, err := d.advertised("var/lib/rebase/" + who + "path.d")
			if err != nil {
				return err
			}
			trees = append(trees, lines...)
			for _, dir := range []string{"var/lib/rebase/", "var/lib/"} {
				names, err := d.advertised(dir + who + "file.d")
				if err != nil {
					return err
				}
				if err := d.addFiles(names); err != nil {
					return err
				}
			}
		}
		if err := d.addPackages(); err != nil {
			return err
		}
	}
	for _, tree := range trees {
		if err := d.walk(tree); err != nil {
			return err
		}
	}
	return nil
}

// advertised returns the lines of all files in a directory.
func (d *discovery) advertised(dir string) ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		f, err := d.root.Open(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		more, err := readLines(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, e.Name(), err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

// readLines returns the lines that hold something, without the carriage return
// an editor of Windows may leave.
func readLines(r io.Reader) ([]string, error) {
	var lines []string
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		if line := strings.TrimRight(sc.Text(), "\r"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, sc.Err()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// isMissing reports whether an error says that there is no file of a path; a name that
// it is below may be that of a file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// addFiles adds single files, whatever their suffix.
func (d *discovery) addFiles(names []string) error {
	for _, name := range names {
		f, err := d.root.FileOf(path.Clean(name))
		if err != nil {
			return err
		}
		d.add(f.Path, name)
	}
	return nil
}

// add adds a path if there is a regular file.
func (d *discovery) add(file, advertised string) {
	info, err := d.root.Lstat(file)
	switch {
	case isMissing(err):
		d.Missing = append(d.Missing, advertised)
	case err != nil:
		d.Unread = append(d.Unread, err)
	case info.Mode().IsRegular():
		d.found[file] = true
	}
}

// addPackages adds the files of Cygwin's installed packages: /etc/setup has a
// compressed list of names for each.
func (d *discovery) addPackages() error {
	lists, err := fs.Glob(d.root.FS(), "etc/setup/*.lst.gz")
	if err != nil {
		return err
	}
	for _, list := range lists {
		names, err := d.readPackage(list)
		if err != nil {
			return fmt.Errorf("%s: %w", list, err)
		}
		for _, name := range names {
			f, err := d.root.FileOf("/" + name)
			if err != nil || !wanted(f.Path, d.search.Programs) {
				continue // a directory ends with a slash
			}
			d.add(f.Path, "/"+name)
		}
	}
	return nil
}

func (d *discovery) readPackage(list string) ([]string, error) {
	f, err := d.root.Open(list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return readLines(z)
}

// walk adds the wanted files below a directory, without following symbolic links. What
// goes while it walks was not there.
func (d *discovery) walk(tree string) error {
	f := File{Path: "."}
	if clean := path.Clean(tree); clean != "/" {
		var err error
		if f, err = d.root.FileOf(clean); err != nil {
			return err
		}
	}
	return fs.WalkDir(d.root.FS(), f.Path, func(name string, e fs.DirEntry, err error) error {
		switch {
		case isMissing(err) && name == f.Path:
			d.Missing = append(d.Missing, tree)
		case err != nil && !isMissing(err):
			d.Unread = append(d.Unread, err)
		case err == nil && e.Type().IsRegular() && wanted(name, d.search.Programs):
			d.found[name] = true
		}
		return nil
	})
}

// suffixes are those of _autorebase.
var suffixes = []string{".dll", ".so", ".eln", ".oct", ".mex"}

// wanted tells a candidate by its name. Left out is what _autorebase leaves out:
// the authentication modules of the system, what is for other systems, and what
// OCaml links with 32-bit references and so has to stay near its program.
func wanted(name string, programs bool) bool {
	lower := strings.ToLower(name)
	base, suffix := path.Base(lower), path.Ext(lower)
	switch {
	case !slices.Contains(suffixes, suffix) && (suffix != ".exe" || !programs):
		return false
	case strings.HasPrefix(base, "cyglsa") && suffix == ".dll":
		return false
	case strings.Contains("/"+lower, "/sys-root/mingw/"):
		return false
	case strings.Contains("/"+lower, "/lib/ocaml/") && suffix == ".so":
		return false
	}
	return true
}

// Cygwin's setup does a full rebase unless this file is there; rebase-trigger
// takes it away.
const (
	fullDir  = "var/cache/rebase"
	fullDone = fullDir + "/fullrebase.done"
)

// FullWanted reports whether a full rebase was asked for: the mark of the last
// one is missing. A root without the directory for it was never asked.
func FullWanted(root *Root) (bool, error) {
	if _, err := root.Stat(fullDir); err != nil {
		return false, ignoreMissing(err)
	}
	_, err := root.Stat(fullDone)
	return errors.Is(err, fs.ErrNotExist), ignoreMissing(err)
}

// TriggerFull asks for a full rebase.
func TriggerFull(root *Root) error {
	if err := root.MkdirAll(fullDir, 0o755); err != nil {
		return err
	}
	return ignoreMissing(root.Remove(fullDone))
}

// FullDone marks that a full rebase was done.
func FullDone(root *Root) error {
	if err := root.MkdirAll(fullDir, 0o755); err != nil {
		return err
	}
	return root.WriteFile(fullDone, nil, 0o644)
}
