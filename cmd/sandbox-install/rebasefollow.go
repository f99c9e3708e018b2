package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/rebase"
	"github.com/sandbox-install/sandbox-install/unpack"
)

// following returns the verb with what its database of bases needs around it.
// What a package brings is recorded before it is there, so that no crash leaves
// an image without a record; afterwards the records follow the files.
func (f *targetFlags) following(stdio *stdio, v changeVerb) changeVerb {
	if f.rebase.flags.db == "" {
		return v
	}
	do := v.do
	v.do = func(r *unpack.Root) (*unpack.Done, error) {
		s, err := f.rebase.open(f.rebased)
		if err != nil {
			return nil, err
		}
		if f.rebased == nil {
			defer s.close()
		}
		if err := f.rebased.save(); err != nil {
			return nil, err
		}
		done, err := do(r)
		var happened []*unpack.Transaction
		if err != nil {
			err = errors.Join(err, f.rebased.takeBack(r))
		} else {
			happened = append(happened, &done.Transaction)
		}
		if done != nil && done.Recovered != nil {
			happened = append(happened, &done.Recovered.Transaction)
		}
		return done, errors.Join(err, s.follow(stdio, f.root, happened...))
	}
	return v
}

// open opens the database, if that was not done for the package already.
func (o *rebaseOption) open(already *rebasedCapture) (*rebaseSession, error) {
	if already != nil {
		return already.session, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // for the lock
	defer cancel()
	s := &rebaseSession{flags: &o.flags, policy: &o.flags.policy}
	if err := s.openDatabases(ctx, changing); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// takeBack takes the records back of a package that did not come, unless it may
// still come: by recovery.
func (r *rebasedCapture) takeBack(root *unpack.Root) error {
	if r == nil {
		return nil
	}
	pending, err := root.Pending()
	if err != nil || pending {
		return err
	}
	return r.session.db.Revert()
}

// follow makes the records follow what transactions did below a root.
func (s *rebaseSession) follow(stdio *stdio, dir string, transactions ...*unpack.Transaction) error {
	if len(transactions) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var lists []*plist.List
	for _, t := range transactions {
		lists = append(lists, t.Before, t.After)
	}
	place := &rebase.Root{Root: root, Mounts: s.policy.Mounts}
	files := rebase.Touched(place, s.db, lists...)
	findings, err := rebase.Follow(context.Background(), place, files, s.db, s.policy.Respect)
	for _, one := range findings {
		fmt.Fprintf(stdio.err, "sandbox-install: rebase: %s %s: %s\n", one.Name, one.Reason, strings.Join(one.With, ", "))
	}
	return err
}

// followRecovery is follow for a recovery that was asked for.
func (f *targetFlags) followRecovery(stdio *stdio, recovery *unpack.Recovery) error {
	if f.rebase.flags.db == "" || recovery == nil {
		return nil
	}
	s, err := f.rebase.open(nil)
	if err != nil {
		return err
	}
	defer s.close()
	return s.follow(stdio, f.root, &recovery.Transaction)
}
