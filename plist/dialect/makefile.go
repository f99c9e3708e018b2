package dialect

import (
	"cmp"
	"slices"
	"strings"
)

// joined are the variables whose values go into one line.
var joined = []string{"USES+= ", "RCD_SCRIPTS+= ", "USE_RC_SUBR+= "}

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
