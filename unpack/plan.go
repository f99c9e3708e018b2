package unpack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Package is what is unpacked: a packing list, and the content of its files. If the
// Tree has a method Finish, as that of package tarball has, it says after all was read
// whether the package is whole.
type Package struct {
	List *plist.List
	Tree plist.Tree
}

// A Policy says what to do where the root is not as a package expects it.
type Policy struct {
	// Save lets a file of the user give way. It is kept, and what was there before
	// a package comes back with the package's removal.
	Save bool

	// KeepMine leaves a file of the user in its place, and the package's out.
	KeepMine bool

	// Devices lets a package bring device nodes.
	Devices bool

	// NoSetID refuses programs that run with the rights of others: with set-id bits or
	// capabilities.
	NoSetID bool

	// Replace refuses a package that is not installed.
	Replace bool

	// Take are entry paths of other packages that the package may have in their
	// place. They come back with its removal.
	Take []string

	// KeepLibs leaves the shared libraries that a new version has not any more, and
	// that other packages need.
	KeepLibs bool

	// Config reports whether a regular file, by its entry path, is configuration:
	// then what the user made of it stays. Nil means what lies in etc, of the root or
	// of the package's prefix.
	Config func(path string) bool
}

// A Plan is a transaction that nothing stands against.
type Plan struct {
	Transaction
	Notes []string // what a person should know, a sentence each

	// Was and Is are the package's record before and afterwards; nil if there is
	// none. What Was has and Is has not, is free for others: image bases too.
	Was, Is *Record

	others []*Record // of other packages, whose records change too

	open     func(e *plist.Entry) (plist.File, error)
	pristine func(d plist.Digest) (plist.File, error) // opens what Is.pristine lacks
}

// recordsToBe are the records that are there afterwards, of those that change.
func (p *Plan) recordsToBe() []*Record {
	if p.Is == nil {
		return p.others
	}
	return append(slices.Clone(p.others), p.Is)
}

// setRecords makes the transaction tell which records change.
func (p *Plan) setRecords() {
	p.recorded = map[string]int{p.Name: 0}
	for _, rec := range p.recordsToBe() {
		p.recorded[rec.Name()] = rec.written
	}
}

// A Change is one step of a plan. What lies below a directory that comes or goes
// has no Change of its own.
type Change struct {
	Action string // "add", "replace", "delete" or "modify"
	Path   string
}

// Changes returns what the transaction does, in the order of paths.
func (t *Transaction) Changes() []Change {
	var changes []Change
	for _, s := range steps(t.Before, t.After) {
		changes = append(changes, Change{s.action.String(), s.path})
	}
	return changes
}

// A Refusal is one reason why a plan is refused.
type Refusal struct {
	Path   string // entry path; "" if the reason is none of a path
	Reason string
	Hint   string // the remedy; may be ""

	// Difference shows what the package changes in a text and can not here, a line
	// each, with "-" before those that go and "+" before those that come; may be "".
	Difference string
}

// Refused is why a plan can not be carried out. Nothing was written.
type Refused []Refusal

func (r Refused) Error() string {
	lines := make([]string, 0, len(r))
	for _, one := range r {
		if one.Path == "" {
			lines = append(lines, one.Reason)
		} else {
			lines = append(lines, fmt.Sprintf("/%s: %s", one.Path, one.Reason))
		}
	}
	return "refused: " + strings.Join(lines, "; ")
}
