package unpack

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A State says what has become of a path of a package.
type State string

// The states.
const (
	StatePackaged State = "packaged" // as it came
	StateRebased  State = "rebased"  // an image that was moved before it was put in place
	StateKept     State = "kept"     // as it was installed: what the user had there stayed
	StateEdited   State = "edited"   // as it was installed: the package's changes, in a text that is another here
	StateMerging  State = "merging"  // configuration that waits for being merged
	StateModified State = "modified" // since it was installed
	StateMissing  State = "missing"
	StateBack     State = "back" // the package deleted it, and it is there again
)

// A Finding is what was found at a path of a package.
type Finding struct {
	Path    string
	State   State
	Changed plist.Change // what differs, if State is StateModified
}

// IsFault reports whether the path is not as it was installed.
func (f *Finding) IsFault() bool {
	return f.State == StateModified || f.State == StateMissing || f.State == StateBack
}

// Check compares what a package has with what is there, path by path. Times of
// directories are not compared.
func (r *Root) Check(rec *Record) ([]Finding, error) {
	packaged, err := r.packaged(rec)
	if err != nil {
		return nil, err
	}
	findings := make([]Finding, 0, len(rec.Installed.Entries))
	for i := range rec.Installed.Entries {
		e := &rec.Installed.Entries[i]
		now, _, err := r.sys.lstat(e.Path, andHash)
		there := !errors.Is(err, fs.ErrNotExist)
		if there && err != nil {
			return nil, err
		}
		f := Finding{Path: e.Path, State: stateOf(e, there)}
		if f.State == StatePackaged && there {
			if f.Changed = capture.Difference(e, &now); f.Changed != 0 {
				f.State = StateModified
			} else {
				f.State = rec.installedState(e, packaged[e.Path])
			}
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// stateOf tells what is there from what is not; all else is StatePackaged yet.
func stateOf(e *plist.Entry, there bool) State {
	switch {
	case e.Op == plist.OpDelete && there:
		return StateBack
	case e.Op != plist.OpDelete && !there:
		return StateMissing
	}
	return StatePackaged
}

// installedState says what was installed at a path, which is as it was then.
func (r *Record) installedState(e, packaged *plist.Entry) State {
	switch {
	case r.merge(e.Path) != nil:
		return StateMerging
	case packaged == nil || packaged.Op == plist.OpDelete || isAdjustment(packaged):
		return StatePackaged
	case isEdit(packaged) && contentDiffers(e, packaged) && r.isOther(e):
		return StateEdited
	case contentDiffers(e, packaged):
		return StateKept
	case packaged.Rebased != nil:
		return StateRebased
	}
	return StatePackaged
}

// isOther reports whether what was installed is not what was there before.
func (r *Record) isOther(e *plist.Entry) bool {
	base := r.Displaced.Find(e.Path)
	return base == nil || contentDiffers(e, base)
}

// Faults returns the findings that are faults.
func Faults(findings []Finding) []Finding {
	return slices.DeleteFunc(findings, func(f Finding) bool { return !f.IsFault() })
}
