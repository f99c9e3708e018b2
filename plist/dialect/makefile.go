package dialect

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// joined are the variables whose values go into one line.
var joined = []string{"USES+= ", "RCD_SCRIPTS+= ", "USE_RC_SUBR+= ", "INFO+= ", "GLIB_SCHEMAS+= ", "GCONF_SCHEMAS+= "}

// sortMakefile puts the lines in order: included files last, as they use what
// the variables say.
func sortMakefile(lines []string) []string {
	slices.SortFunc(lines, func(a, b string) int {
		return cmp.Or(cmp.Compare(btoi(a[0] == '.'), btoi(b[0] == '.')), strings.Compare(a, b))
	})
	var out []string
	for _, line := range lines {
		name := line[:strings.IndexByte(line, ' ')+1]
		if last := len(out) - 1; last >= 0 && slices.Contains(joined, name) && strings.HasPrefix(out[last], name) {
			out[last] += " " + line[len(name):]
			continue
		}
		out = append(out, line)
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// makefileLine says what the Makefile of a pkgsrc or FreeBSD package has to say
// of an item, because the packing list cannot.
func makefileLine(tree string, it *Item) string {
	name, rest, _ := strings.Cut(it.Text, ":")
	switch {
	case it.Kind == KindUser && tree == "freebsd":
		return "USERS+= " + name
	case it.Kind == KindGroup && tree == "freebsd":
		return "GROUPS+= " + name
	case it.Kind == KindUser:
		_, rest, _ = strings.Cut(rest, ":")
		gid, _, _ := strings.Cut(rest, ":")
		return "PKG_USERS+= " + name + ":" + cmp.Or(it.Group, gid)
	case it.Kind == KindGroup:
		return "PKG_GROUPS+= " + name
	case it.Kind == KindSample && it.Text == "":
		return "OWN_DIRS+= " + printable(it.Path)
	case it.Kind == KindSample && it.special():
		return "CONF_FILES_PERMS+= " + Var("PREFIX") + "/" + printable(it.Text) + " " + permissions(it)
	case it.Kind == KindSample:
		return "CONF_FILES+= " + Var("PREFIX") + "/" + printable(it.Text) + " " + printable(it.Path)
	case it.Kind == KindDir:
		return "OWN_DIRS_PERMS+= " + permissions(it)
	}
	return "SPECIAL_PERMS+= " + permissions(it)
}

// typeLine says what the Makefile has to say of a file's type, where the list has
// no word for it; "" if nothing.
func typeLine(tree string, it *Item) string {
	switch {
	case it.Type == TypeRCScript && tree == "pkgsrc":
		return "RCD_SCRIPTS+= " + path.Base(it.Path)
	case it.Type == TypeRCScript && tree == "freebsd":
		return "USE_RC_SUBR+= " + path.Base(it.Path)
	case it.Type == TypeShell && tree == "pkgsrc":
		return "PKG_SHELL+= " + Var("PREFIX") + "/" + printable(it.Path)
	case it.Type == TypeInfo && tree == "pkgsrc":
		return "INFO_FILES= yes"
	}
	return ""
}

// permissions are a path, a user, a group and, if need be, a mode, as pkgsrc's
// variables want them.
func permissions(it *Item) string {
	owner, group := cmp.Or(it.Owner, Var("REAL_ROOT_USER")), cmp.Or(it.Group, Var("REAL_ROOT_GROUP"))
	return strings.TrimSpace(printable(it.Path) + " " + owner + " " + group + " " + it.Mode)
}
