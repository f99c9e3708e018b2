package dialect

import (
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Accounts finds the users that a passwd(5) file (or groups of a group(5), or
// shells of a shells(5) file) has after an installation and had not before. A
// changed line is no new account.
func Accounts(kind plist.AccountKind, before, after string) []plist.Account {
	had := make(map[string]bool)
	for line := range strings.Lines(before) {
		name, _, _ := accountLine(kind, line)
		had[name] = true
	}
	var accounts []plist.Account
	for line := range strings.Lines(after) {
		name, rest, ok := accountLine(kind, line)
		if !ok || had[name] {
			continue
		}
		had[name] = true
		accounts = append(accounts, plist.Account{Kind: kind, Line: name + rest})
	}
	return accounts
}

// accountLine cuts a line into its name and what follows, without the password.
func accountLine(kind plist.AccountKind, line string) (name, rest string, ok bool) {
	line = strings.TrimSpace(line)
	if kind == plist.AccountShell {
		return line, "", strings.HasPrefix(line, "/")
	}
	fields := strings.SplitN(line, ":", 3)
	if len(fields) < 3 || !strings.Contains(fields[2], ":") || fields[0] == "" || fields[0][0] == '#' {
		return fields[0], "", false
	}
	return fields[0], ":" + fields[2], true
}

// accounts says who the package's users are: OpenBSD in the list, the others in
// the Makefile. It also learns their names, for the owners of files.
func (p *porter) accounts() []Item {
	var items []Item
	for _, a := range p.list.Accounts {
		fields := strings.Split(a.Line, ":")
		group := a.Kind == plist.AccountGroup
		switch {
		case a.Kind == plist.AccountShell:
			p.shells[a.Line] = true
		case group && len(fields) >= 2:
			p.groups[fields[1]] = fields[0]
			items = append(items, Item{Kind: KindGroup, Text: fields[0] + ":" + fields[1]})
		case !group && len(fields) == 6:
			p.users[fields[1]] = fields[0]
			// name:uid:group:login class:comment:home:shell
			user := []string{fields[0], fields[1], fields[2], "daemon", fields[3], fields[4], fields[5]}
			items = append(items, Item{Kind: KindUser, Text: strings.Join(user, ":")})
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int { return int(b.Kind) - int(a.Kind) }) // a user's group first
	if p.tree == "openbsd" {
		return items
	}
	for i := range items {
		it := &items[i]
		if it.Kind == KindUser {
			it.Group = p.groups[strings.Split(it.Text, ":")[2]]
		}
		p.makefile(makefileLines(p.tree, it)...)
	}
	return nil
}

// named puts names for the numbers of an item's owner and group.
func (p *porter) named(it *Item) {
	if name, ok := p.users[it.Owner]; ok {
		it.Owner = name
	}
	if name, ok := p.groups[it.Group]; ok {
		it.Group = name
	}
}
