package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/plist/dialect"
)

// treeFormats are the formats of ports trees.
var treeFormats = []string{"pkgsrc", "freebsd", "openbsd"}

func plistMergeCommand(stdio *stdio) *cobra.Command {
	var when []string
	var dir, makefile string
	format := &oneOf{"pkgsrc", treeFormats}
	cmd := &cobra.Command{
		Use:   "merge --when [OPTION,...]:FILE --when ...",
		Short: "Find the condition of each entry from captures with different options",
		Long: `Merge reads a list for each set of options that a package was captured with: a
tarball or a native list, which it puts into the tree's idiom as port does, or one
in the format that is printed. It prints one list
in which each entry stands under the smallest condition that agrees with all
captures: always, an option, not an option, one and another, one without another;
otherwise under a new condition that the lines for the Makefile define. Where the
captures allow more than one, it says which further capture would decide.

	sandbox-install plist merge --when nls,doc:A.plist --when nls:B.plist --when :C.plist

OpenBSD's conditions are files of their own, PFRAG.x: there --dir is needed.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			if len(when) == 0 {
				return usagef("nothing to merge: --when OPTIONS:FILE")
			}
			if format.value == "openbsd" && dir == "" {
				return usagef("OpenBSD's conditions are files: --dir DIR")
			}
			merged, err := mergeFiles(stdio, format.value, when)
			if err != nil {
				return err
			}
			if err := writeMakefile(stdio, makefile, merged.Makefile(format.value)); err != nil {
				return err
			}
			return writeMerged(stdio, format.value, dir, merged)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "write the list and its fragments into this directory")
	f.StringVar(&makefile, "makefile", "", "write the lines for the Makefile to this file, not to the standard error")
	f.Var(format, "plist-format", "text form to print, and of lists that are no captures")
	must(cmd.RegisterFlagCompletionFunc("plist-format", format.complete))
	f.StringArrayVar(&when, "when", nil, "options that were on, and the list of that capture")
	return cmd
}

// mergeFiles merges lists, "OPTIONS:FILE" each, and tells what is not sure.
func mergeFiles(stdio *stdio, format string, when []string) (*dialect.Merged, error) {
	var variants []dialect.Variant
	var ports []*dialect.Port
	for _, arg := range when {
		options, name, ok := strings.Cut(arg, ":")
		if !ok || name == "" {
			return nil, usagef("--when %q: want OPTIONS:FILE", arg)
		}
		port, err := readPort(format, name)
		if err != nil {
			return nil, err
		}
		v := dialect.Variant{Options: make(dialect.Assignment), Items: port.Items, Makefile: port.Makefile}
		for option := range strings.SplitSeq(options, ",") {
			if option != "" {
				v.Options[strings.ToLower(option)] = true
			}
		}
		variants, ports = append(variants, v), append(ports, port)
	}
	merged, err := dialect.Merge(variants)
	if err != nil {
		return nil, err
	}
	tellPorts(stdio, ports...)
	for _, r := range merged.Ambiguous {
		fmt.Fprintf(stdio.err, "sandbox-install: %s: %s\n", r.Path, r.Text)
	}
	return merged, nil
}

// readPort reads a capture, or a list in the given format.
func readPort(format, name string) (*dialect.Port, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if isCapture(b) {
		return newPort(format, []string{name}, nil)
	}
	doc, err := dialect.Parse(format, string(b))
	if err != nil {
		return nil, err
	}
	items, err := doc.Items()
	return &dialect.Port{Items: items}, wrap(name, err)
}

// isCapture tells a tarball, compressed or not, or a native list from another text.
func isCapture(b []byte) bool {
	head := b[:min(len(b), 512)]
	return plist.IsNative(b) || bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(b, []byte("\x1f\x8b")) || bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd"))
}

// writeMakefile writes lines to a file, or for people.
func writeMakefile(stdio *stdio, name string, lines []string) error {
	if name != "" {
		var text strings.Builder
		for _, line := range lines {
			text.WriteString(line + "\n")
		}
		return writeFile(name, []byte(text.String()), 0o644)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(stdio.err, "Makefile:", line); err != nil {
			return err
		}
	}
	return nil
}

// mainList is the name of a tree's list.
func mainList(format string) string {
	if format == "freebsd" {
		return "pkg-plist"
	}
	return "PLIST"
}

// mergedTexts returns the list and its fragments by name.
func mergedTexts(format string, merged *dialect.Merged) (map[string][]byte, error) {
	files := map[string][]dialect.Item{mainList(format): merged.Items}
	if format == "openbsd" {
		files = dialect.Fragments(merged.Items)
	}
	texts := make(map[string][]byte)
	for name, items := range files {
		var b bytes.Buffer
		if err := dialect.WriteItems(&b, format, items); err != nil {
			return nil, wrap(name, err)
		}
		texts[name] = b.Bytes()
	}
	return texts, nil
}

// writeMerged prints the list, or writes it into dir.
func writeMerged(stdio *stdio, format, dir string, merged *dialect.Merged) error {
	if dir == "" {
		return dialect.WriteItems(stdio.out, format, merged.Items)
	}
	texts, err := mergedTexts(format, merged)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for name, text := range texts {
		if err := writeFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
