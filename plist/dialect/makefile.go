package dialect

// makefileLine says what a pkgsrc or FreeBSD package's Makefile has to say of an
// item, because the packing list cannot.
func makefileLine(it *Item) string {
	perms := func(name string) string {
		owner, group := it.Owner, it.Group
		if owner == "" {
			owner = Var("REAL_ROOT_USER")
		}
		if group == "" {
			group = Var("REAL_ROOT_GROUP")
		}
		line := name + "+= " + printable(it.Path) + " " + owner + " " + group
		if it.Mode != "" {
			line += " " + it.Mode
		}
		return line
	}
	switch it.Kind {
	case KindSample:
		if it.Text == "" {
			return "OWN_DIRS+= " + printable(it.Path)
		}
		return "CONF_FILES+= " + Var("PREFIX") + "/" + printable(it.Text) + " " + printable(it.Path)
	case KindUser:
		return "PKG_USERS+= " + it.Text
	case KindGroup:
		return "PKG_GROUPS+= " + it.Text
	case KindDir:
		return perms("OWN_DIRS_PERMS")
	}
	return perms("SPECIAL_PERMS")
}
