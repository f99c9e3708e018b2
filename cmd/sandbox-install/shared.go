package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/infodir"
	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// addShared adds to a captured list what no file of a package tells: the users,
// groups, login shells and entries of Info directories that the command added, and
// what was in the files that it modified or deleted. Root is the directory that it ran
// in, which is as it was before; "" is the system's own.
func addShared(ctx context.Context, result *capture.Result, root string) error {
	before, err := os.OpenRoot(cmp.Or(root, "/"))
	if err != nil {
		return err
	}
	defer before.Close() //nolint:errcheck // only read
	if err := addAccounts(result, before); err != nil {
		return err
	}
	if err := addInfo(result, before); err != nil {
		return err
	}
	return capture.RecordWas(ctx, result.List, result.Tree, before)
}

func addAccounts(result *capture.Result, root *os.Root) error {
	l := result.List
	for _, file := range []struct {
		name string
		kind plist.AccountKind
	}{{"etc/group", plist.AccountGroup}, {"etc/passwd", plist.AccountUser}, {"etc/shells", plist.AccountShell}} {
		if e := l.Find(file.name); e == nil || !e.HasContent() {
			continue
		}
		before, after, err := readBoth(result, root, file.name)
		if err != nil {
			return err
		}
		l.Accounts = append(l.Accounts, dialect.Accounts(file.kind, before, after)...)
	}
	return nil
}

// addInfo looks for directories of Info manuals by the rule of package capture.
func addInfo(result *capture.Result, root *os.Root) error {
	l := result.List
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.HasContent() || e.Class != plist.ClassShared || e.Rule != "info-dir" || path.Base(e.Path) != "dir" {
			continue
		}
		before, after, err := readBoth(result, root, e.Path)
		if err != nil {
			return err
		}
		if before == "" && infodir.Preamble(after) != "" {
			l.Info = append(l.Info, plist.InfoEntry{Dir: e.Path, Text: infodir.Preamble(after), Preamble: true})
		}
		for _, added := range infodir.Added(before, after) {
			l.Info = append(l.Info, plist.InfoEntry{Dir: e.Path, Section: added.Section, Text: added.Text, After: added.After})
		}
	}
	return nil
}

// readBoth reads a small file as it was, "" if it was no file, and as it is now.
func readBoth(result *capture.Result, root *os.Root, name string) (before, after string, err error) {
	var raw []byte
	was, err := root.Lstat(name)
	if err == nil && was.Mode().IsRegular() {
		raw, err = root.ReadFile(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	after, err = readTree(result.Tree, name)
	return string(raw), after, err
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
