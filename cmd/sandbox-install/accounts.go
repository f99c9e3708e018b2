package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// addAccounts adds to a captured list the users, groups and login shells that
// the command added, as the files of those tell. Root is the directory that it ran in, as it
// was before; "" is the system's own.
func addAccounts(result *capture.Result, root string) error {
	l := result.List
	for _, file := range []struct {
		name string
		kind plist.AccountKind
	}{{"etc/group", plist.AccountGroup}, {"etc/passwd", plist.AccountUser}, {"etc/shells", plist.AccountShell}} {
		if e := l.Find(file.name); e == nil || !e.HasContent() {
			continue
		}
		after, err := readTree(result.Tree, file.name)
		if err != nil {
			return err
		}
		before, err := os.ReadFile(filepath.Join("/", root, file.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.Accounts = append(l.Accounts, dialect.Accounts(file.kind, string(before), after)...)
	}
	return nil
}

// readTree reads a small file of a tree.
func readTree(tree plist.Tree, name string) (string, error) {
	file, err := tree.Open(name)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(file)
	return string(text), errors.Join(err, file.Close())
}
