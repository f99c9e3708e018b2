package unpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// verify reads the whole package: every file holds what the list says, and the
// package ends as it should. It comes after all else that may refuse a plan, so that
// what is read fits on the disk.
func (p *planner) verify(l *plist.List) error {
	if p.verified == l { // the first plan in a root is made twice
		return nil
	}
	for i := range p.pkg.List.Entries {
		e := &p.pkg.List.Entries[i]
		if !e.HasContent() {
			continue
		}
		switch err := p.verifyFile(e); {
		case errors.Is(err, errFalseContent):
			return Refused{{Path: e.Path, Reason: err.Error()}}
		case err != nil: // it may be of a member before
			return damaged(err)
		}
	}
	if t, ok := p.pkg.Tree.(interface{ Finish() error }); ok {
		if err := t.Finish(); err != nil {
			return damaged(err)
		}
	}
	p.verified = l
	return nil
}

func damaged(err error) Refused {
	return Refused{{Reason: fmt.Sprintf("the package is damaged: %v", err)}}
}

func (p *planner) verifyFile(e *plist.Entry) error {
	f, err := p.pkg.Tree.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	in := &io.LimitedReader{R: f, N: e.Size}
	if e.Size < math.MaxInt64 {
		in.N++
	}
	digest, err := capture.Digest(in)
	if err != nil {
		return err
	}
	if digest != e.Digest || in.N != 1 {
		return errFalseContent
	}
	return nil
}

// checkEntry refuses what no package may bring, or not without being asked for.
func (p *planner) checkEntry(e, now *plist.Entry) bool {
	if !e.Described() {
		return true
	}
	for name, value := range e.Xattrs {
		if len(name) > maxXattrName || len(value) > maxXattr {
			p.refuse(e.Path, "", "has an extended attribute of %d bytes, whose name has %d: that is too long", len(value), len(name))
			return false
		}
	}
	switch {
	case e.Mode&fs.ModeDevice != 0 && !p.policy.Devices:
		p.refuse(e.Path, "--devices lets a package bring device nodes", "is a device node")
		return false
	case p.policy.NoSetID && raises(e) && !(now != nil && raises(now) && p.isUnmodified(now)):
		p.refuse(e.Path, "--set-id lets a package bring programs that run with the rights of others", "runs with the rights of its owner or group, or with capabilities")
		return false
	}
	return true
}

// What a name and a value of an extended attribute can have (linux/limits.h:
// XATTR_NAME_MAX, XATTR_SIZE_MAX).
const (
	maxXattrName = 255
	maxXattr     = 64 << 10
)

// raises reports whether a file gives who executes it other rights: set-id bits
// (inode(7)), capabilities(7).
func raises(e *plist.Entry) bool {
	_, capable := e.Xattrs["security.capability"]
	return e.Mode.IsRegular() && (e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 || capable)
}
