package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
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

// wantAccounts sets the edits that make the package's users and groups. An account
// of that name that is there already is taken as it is, and owns the package's
// files under the number that it has here.
func (p *planner) wantAccounts() error {
	had := make(map[Edit]bool)
	if p.old != nil {
		for _, e := range p.old.Edits {
			had[e] = true
		}
	}
	dirs := newDirs(p.Root, p.pkg.List)
	for _, a := range p.pkg.List.Accounts {
		if err := p.wantAccount(a, dirs, had); err != nil {
			return err
		}
	}
	gone := slices.SortedFunc(maps.Keys(had), func(a, b Edit) int { return strings.Compare(a.Path+"\x00"+a.Line, b.Path+"\x00"+b.Line) })
	p.edits = append(p.edits, inverse(gone)...)
	return nil
}

// wantAccount sets the edits for one account, and takes those that are made already
// out of had.
func (p *planner) wantAccount(a plist.Account, dirs *dirs, had map[Edit]bool) error {
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
	real, err := dirs.place(file.name)
	if err != nil {
		return err
	}
	text, err := p.readText(real)
	if errors.Is(err, fs.ErrNotExist) {
		p.note(real, "is not there, and %s %s is not made", a.Kind, name)
		return nil
	}
	if err != nil {
		return err
	}
	line, secret := file.lines(a)
	edit := Edit{Path: real, Line: line}
	switch owner, here := findAccount(text, name, number); {
	case had[edit]:
	case owner == name && here == number:
		return nil
	case owner == name:
		p.note(real, "%s %s is %s here, and owns what %s owns in the package", a.Kind, name, here, number)
		return p.ownAs(a.Kind, uint32(id), here)
	case owner != "":
		p.refuse(real, "", "%s %s of the package is number %s, which is %s here", a.Kind, name, number, owner)
		return nil
	default:
		p.edits = append(p.edits, edit)
		p.note(real, "%s %s is made", a.Kind, name)
	}
	delete(had, edit)
	p.ours = append(p.ours, edit)
	return p.wantSecret(dirs, file.secret, secret, had)
}

// wantSecret sets the edit for an account's password, where there are any.
func (p *planner) wantSecret(dirs *dirs, file, line string, had map[Edit]bool) error {
	real, err := dirs.place(file)
	if err != nil {
		return err
	}
	there, err := p.sys.exists(real)
	if !there || err != nil {
		return err
	}
	edit := Edit{Path: real, Line: line}
	if !had[edit] {
		p.edits = append(p.edits, edit)
	}
	delete(had, edit)
	p.ours = append(p.ours, edit)
	return nil
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

// wantEdits makes the edits of shared files goals. Edits that change nothing are
// none.
func (p *planner) wantEdits() error {
	var made []Edit
	for _, e := range p.edits {
		now, err := p.look(e.Path)
		if err != nil {
			return err
		}
		if now == nil || !now.Mode.IsRegular() {
			p.note(e.Path, "is no file any more, and is not edited")
			continue
		}
		text, ok := p.texts[e.Path]
		if !ok {
			if text, err = p.readText(e.Path); err != nil {
				return err
			}
		}
		text, changed := e.edit(text)
		if !changed {
			if e.Gone {
				p.note(e.Path, "has not the line %q any more, and is left as it is", e.Line)
			}
			continue
		}
		made = append(made, e)
		if err := p.wantText(now, text); err != nil {
			return err
		}
	}
	p.edits = made
	return nil
}
