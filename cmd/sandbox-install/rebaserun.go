package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/rebase"
	"github.com/sandbox-install/sandbox-install/tarball"
)

// A rebaseOption gives captured images addresses of their own before they are
// packed, if a database is named.
type rebaseOption struct{ flags rebaseFlags }

func (o *rebaseOption) register(cmd *cobra.Command) {
	o.flags.format.value = string(rebase.FormatText)
	o.registerDatabases(cmd, "move the captured DLLs to addresses of their own, recorded in this `FILE`")
	o.flags.registerChanges(cmd, "rebase-")
}

func (o *rebaseOption) registerDatabases(cmd *cobra.Command, usage string) *cobra.Command {
	cmd.Flags().StringVar(&o.flags.db, "rebase-db", "", usage)
	cmd.Flags().StringArrayVar(&o.flags.baseDBs, "rebase-base-db", nil, "with --rebase-db, database `FILE` of another layer to respect; may be repeated")
	o.flags.registerMounts(cmd, "rebase-")
	return cmd
}

// registerFollow is register for a command that moves no DLLs itself.
func (o *rebaseOption) registerFollow(cmd *cobra.Command) *cobra.Command {
	return o.registerDatabases(cmd, "take the addresses of DLLs that go from this `FILE`, and record those that come back")
}

// A rebasedCapture is what is to be recorded once the package is written. Nil
// stands for nothing.
type rebasedCapture struct {
	session  *rebaseSession
	captured *rebase.Captured
	spool    string // directory to remove
}

// move replaces list and tree by those with the images moved.
func (o *rebaseOption) move(ctx context.Context, stdio *stdio, files *capturedFiles) (*rebasedCapture, error) {
	if o.flags.db == "" {
		return nil, nil
	}
	r := &rebasedCapture{session: &rebaseSession{flags: &o.flags, policy: &o.flags.policy}}
	err := r.session.openDatabases(ctx, writing)
	if err == nil {
		r.captured, err = rebase.MoveCaptured(ctx, files.list, files.tree, r.session.policy)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	files.list, files.tree = r.captured.List, r.captured.Tree
	for i := range r.captured.Placements {
		if p := &r.captured.Placements[i]; p.Action == rebase.Move || p.Action == rebase.Fail || p.Rule != "" {
			fmt.Fprintf(stdio.err, "sandbox-install: rebase: %s\n", placementLine(p))
		}
	}
	r.session.hintSigned(stdio, r.captured.Placements, "--rebase-drop-signature")
	return r, nil
}

func (r *rebasedCapture) save() error {
	if r == nil {
		return nil
	}
	return r.captured.Save()
}

func (r *rebasedCapture) close() {
	if r == nil {
		return
	}
	r.session.close()
	if r.spool != "" {
		os.RemoveAll(r.spool) //nolint:errcheck // a temporary directory
	}
}

// moveInTarball is move for the files of a tarball, whose tree is read only
// once and in order: the images are taken out of it first, by a reading of its
// own.
func (o *rebaseOption) moveInTarball(ctx context.Context, stdio *stdio, name string, files *capturedFiles) (*rebasedCapture, error) {
	if o.flags.db == "" {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "sandbox-install-rebase-")
	if err != nil {
		return nil, err
	}
	spool := &spooledTree{dir: dir, names: make(map[string]string)}
	images := capturedFiles{list: files.list, tree: spool}
	var r *rebasedCapture
	if err = spool.fill(ctx, name); err == nil {
		r, err = o.move(ctx, stdio, &images)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r.spool = dir
	files.list, files.tree = images.list, splitTree{images.tree, files.tree, images.list}
	return r, nil
}

// A spooledTree holds the images of a tarball in a directory.
type spooledTree struct {
	dir   string
	names map[string]string // by entry path
}

// fill takes the images out of the tarball.
func (t *spooledTree) fill(ctx context.Context, tarName string) (err error) {
	file, err := os.Open(tarName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	tar, err := tarball.NewReader(file)
	if err != nil {
		return wrap(tarName, err)
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	list := tar.List()
	for i := range list.Entries {
		if e := &list.Entries[i]; rebase.Candidate(e) {
			if err := t.add(tar, e.Path); err != nil {
				return wrap(tarName, err)
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (t *spooledTree) add(from plist.Tree, path string) error {
	in, err := from.Open(path)
	if err != nil {
		return err
	}
	name := filepath.Join(t.dir, strconv.Itoa(len(t.names)))
	out, err := os.Create(name)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	t.names[path] = name
	return errors.Join(err, in.Close(), out.Close())
}

func (t *spooledTree) Open(path string) (plist.File, error) {
	f, err := os.Open(t.names[path])
	if err != nil {
		return nil, err // not a nil *os.File in a File
	}
	return f, nil
}

// A splitTree takes the moved images from one tree and all else from another.
type splitTree struct {
	moved, rest plist.Tree
	list        *plist.List
}

func (t splitTree) Open(path string) (plist.File, error) {
	if e := t.list.Find(path); e != nil && e.Rebased != nil && rebase.Candidate(e) {
		return t.moved.Open(path)
	}
	return t.rest.Open(path)
}

// Finish reports whether the tarball is whole.
func (t splitTree) Finish() error {
	if f, ok := t.rest.(interface{ Finish() error }); ok {
		return f.Finish()
	}
	return nil
}
