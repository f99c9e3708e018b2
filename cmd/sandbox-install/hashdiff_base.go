package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/hashdiff"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// baseFlags say what belongs to packages already.
type baseFlags struct {
	names  []string
	format *oneOf           // of lists that do not say
	owners *hashdiff.Owners // nil before they are loaded, and if there are none
}

const baseHelp = `A base is a packing
list, a tarball, a list of absolute paths, or a directory that holds such files, as
/var/lib/dpkg/info and /usr/pkg/pkgdb do. A file whose list knows its content, and it
is another, is not left out.`

func (f *baseFlags) register(cmd *cobra.Command) {
	f.format = &oneOf{"pkgsrc", dialect.Formats()}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.names, "base", nil, "leave out what the lists in `FILE` or directory own")
	fl.Var(f.format, "base-format", "text form of lists in a base that do not say")
	must(cmd.RegisterFlagCompletionFunc("base-format", f.format.complete))
}

// load reads the bases; their paths are of the root of that host path.
func (f *baseFlags) load(root string) error {
	if f.names == nil {
		return nil
	}
	f.owners = hashdiff.NewOwners(root)
	for _, name := range f.names {
		if err := addBase(f.owners, name, f.format.value); err != nil {
			return err
		}
	}
	return nil
}

// leaveOut makes noise of what the bases own.
func (f *baseFlags) leaveOut(l *plist.List) {
	if f.owners != nil {
		f.owners.Classify(l)
	}
}

// addBase adds what the lists in a file or directory own.
func addBase(owners *hashdiff.Owners, name, format string) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return wrap(name, addBaseFile(owners, name, format))
	}
	found := 0
	err = filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isList(d.Name()) {
			return err
		}
		found++
		return wrap(file, addBaseFile(owners, file, format))
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("%s: no packing list in it (+CONTENTS, *.plist, *.list, *.tar*)", name)
	}
	return err
}

// isList reports whether a package database would give that name to a list: pkgsrc
// and OpenBSD +CONTENTS, Debian *.list, we ourselves the others.
func isList(name string) bool {
	return name == "+CONTENTS" || strings.HasSuffix(name, ".list") || strings.HasSuffix(name, ".plist") || strings.Contains(name, ".tar")
}

// addBaseFile adds what one list owns: a tarball or a native list with all that is
// known of a file, a list of absolute paths, or a list of a ports tree.
func addBaseFile(owners *hashdiff.Owners, name, format string) error {
	text, err := os.ReadFile(name)
	switch {
	case err != nil:
		return err
	case len(text) == 0 || text[0] == '/':
		return addPaths(owners, text)
	case bytes.HasPrefix(text, []byte("#mtree ")) || strings.Contains(filepath.Base(name), ".tar"):
		l, err := readList(name)
		if err == nil {
			owners.AddList(l)
		}
		return err
	}
	doc, err := dialect.Parse(format, string(text))
	if err != nil {
		return err
	}
	items, err := doc.Items()
	if err != nil {
		return err
	}
	return addItems(owners, items)
}

// addPaths reads an absolute path a line, as dpkg(1) keeps them.
func addPaths(owners *hashdiff.Owners, text []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if err := addPath(owners, lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func addPath(owners *hashdiff.Owners, name string) error {
	entry := strings.TrimPrefix(path.Clean(name), "/")
	if name == "" || entry == "" || entry == "." {
		return nil
	}
	if name[0] != '/' {
		return fmt.Errorf("path %q: want an absolute one", name)
	}
	owners.Add(entry, nil)
	return plist.CheckPath(entry)
}

// addItems adds the paths of a ports tree's list.
func addItems(owners *hashdiff.Owners, items []dialect.Item) error {
	first, prefix := "", ""
	for _, it := range items {
		switch it.Kind {
		case dialect.KindPrefix:
			prefix = it.Path
			if prefix == "" {
				prefix = first
			} else if first == "" {
				first = prefix
			}
		case dialect.KindFile, dialect.KindDir, dialect.KindSample:
			if strings.Contains(it.Path, "\x00") {
				continue // a variable: this is no list of an installed package
			}
			if prefix == "" && !strings.HasPrefix(it.Path, "/") {
				return &hintedError{
					errors.New("paths without a prefix: it is no list of an installed package"),
					"lists of installed packages have a line @cwd; /var/db/pkg or /usr/pkg/pkgdb holds them",
				}
			}
			name := it.Path
			if name[0] != '/' {
				name = path.Join(prefix, name)
			}
			if err := addPath(owners, name); err != nil {
				return err
			}
		}
	}
	return nil
}
