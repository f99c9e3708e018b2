package unpack

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The kinds of numbers that own files.
const (
	accountUser  = plist.AccountUser
	accountGroup = plist.AccountGroup
)

// An ownerID is the number of a user or group.
type ownerID struct {
	kind plist.AccountKind
	id   uint32
}

// An accountFile is where accounts of a kind stand, and where their passwords do
// (passwd(5), shadow(5), group(5), gshadow(5)).
type accountFile struct{ name, secret string }

var accountFiles = map[plist.AccountKind]accountFile{
	accountUser:  {"etc/passwd", "etc/shadow"},
	accountGroup: {"etc/group", "etc/gshadow"},
}

// lines returns an account's line in each: nobody can log in with it.
func (f accountFile) lines(a plist.Account) (line, secret string) {
	name, rest, _ := strings.Cut(a.Line, ":")
	if a.Kind == accountUser {
		return name + ":x:" + rest, name + ":!:::::::"
	}
	_, members, _ := strings.Cut(rest, ":")
	return name + ":x:" + rest, name + ":!::" + members
}

// wantAccount sets the edits for one user or group. An account of that name that is
// there already is taken as it is, and owns the package's files under the number that
// it has here.
func (p *planner) wantAccount(a plist.Account, s *sharedLines) error {
	name, rest, _ := strings.Cut(a.Line, ":")
	number, _, _ := strings.Cut(rest, ":")
	id, err := strconv.ParseUint(number, 10, 32)
	file, ok := accountFiles[a.Kind]
	if err != nil || name == "" || !ok {
		p.refuse("", "", "%s %q: is no account", a.Kind, a.Line)
		return nil
	}
	if p.pkg.List.Find(file.name) != nil {
		return nil // the package brings the whole file
	}
	real, text, there, err := s.read(file.name)
	if err != nil {
		return err
	}
	if !there {
		p.note(real, "is not there, and %s %s is not made", a.Kind, name)
		return nil
	}
	line, secret := file.lines(a)
	edit := Edit{Path: real, Line: line}
	switch owner, here := findAccount(text, name, number); {
	case s.had[edit]:
	case owner == name && here == number:
		return nil
	case owner == name:
		p.note(real, "%s %s is %s here, and owns what %s owns in the package", a.Kind, name, here, number)
		return p.ownAs(a.Kind, uint32(id), here)
	case owner != "":
		p.refuse(real, "", "%s %s of the package is number %s, which is %s here", a.Kind, name, number, owner)
		return nil
	default:
		p.note(real, "%s %s is made", a.Kind, name)
	}
	s.want(edit)
	real, _, there, err = s.read(file.secret)
	if there { // passwords are kept apart here
		s.want(Edit{Path: real, Line: secret})
	}
	return err
}

// findAccount returns the name and number of the account that has either of them.
func findAccount(text, name, number string) (string, string) {
	foundName, foundNumber := "", ""
	for line := range strings.Lines(text) {
		fields := strings.Split(line, ":")
		switch {
		case len(fields) < 3:
		case fields[0] == name:
			return name, fields[2]
		case fields[2] == number:
			foundName, foundNumber = fields[0], number
		}
	}
	return foundName, foundNumber
}

func (p *planner) ownAs(kind plist.AccountKind, id uint32, here string) error {
	n, err := strconv.ParseUint(here, 10, 32)
	if err != nil {
		return fmt.Errorf("%s number %q: %w", kind, here, err)
	}
	p.owners[ownerID{kind, id}] = uint32(n)
	return nil
}

// ownerHere returns the number that an account of the package has here.
func (p *planner) ownerHere(kind plist.AccountKind, id uint32) uint32 {
	if here, ok := p.owners[ownerID{kind, id}]; ok {
		return here
	}
	return id
}
