package dialect

import (
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Accounts finds the users (or groups) that a passwd(5) (or group(5)) file has
// after an installation and had not before. A changed line is no new account.
func Accounts(kind plist.AccountKind, before, after string) []plist.Account {
	had := make(map[string]bool)
	for line := range strings.Lines(before) {
		name, _, _ := strings.Cut(line, ":")
		had[name] = true
	}
	var accounts []plist.Account
	for line := range strings.Lines(after) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 || fields[0] == "" || had[fields[0]] || strings.HasPrefix(fields[0], "#") {
			continue
		}
		had[fields[0]] = true
		accounts = append(accounts, plist.Account{Kind: kind, Line: strings.Join(slices.Delete(fields, 1, 2), ":")})
	}
	return accounts
}

// accounts says who the package's users are: OpenBSD in the list, the others in
// the Makefile. It also learns their names, for the owners of files.
func (p *porter) accounts() []Item {
	var items []Item
	for _, a := range p.list.Accounts {
		fields := strings.Split(a.Line, ":")
		group := a.Kind == plist.AccountGroup
		switch {
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
		p.makefile(makefileLine(p.tree, it))
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
