package dialect

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// joined are the variables whose values go into one line.
var joined = []string{
	"USES+= ", "RCD_SCRIPTS+= ", "USE_RC_SUBR+= ", "INFO+= ", "GLIB_SCHEMAS+= ", "GCONF_SCHEMAS+= ",
	"PERL5_PACKLIST+= ", "PLIST_VARS+= ", "PKG_SUPPORTED_OPTIONS+= ", "OPTIONS_DEFINE+= ", "FLAVORS+= ",
}

// cutJoined splits a line that others are joined with.
func cutJoined(line string) (name, values string, ok bool) {
	n := strings.IndexByte(line, ' ') + 1
	name = line[:n]
	return name, line[n:], slices.Contains(joined, name) || strings.HasSuffix(name, "_USES+= ")
}

// splitJoined makes a line of each value again.
func splitJoined(lines []string) []string {
	var out []string
	for _, line := range lines {
		name, values, ok := cutJoined(line)
		if !ok {
			out = append(out, line)
			continue
		}
		for value := range strings.FieldsSeq(values) {
			out = append(out, name+value)
		}
	}
	return out
}

// sortMakefile puts the lines in order: included files last, as they use what
// the variables say.
func sortMakefile(lines []string) []string {
	slices.SortFunc(lines, func(a, b string) int {
		return cmp.Or(cmp.Compare(btoi(a[0] == '.'), btoi(b[0] == '.')), strings.Compare(a, b))
	})
	var out []string
	for _, line := range lines {
		name, value, ok := cutJoined(line)
		if last := len(out) - 1; last >= 0 && ok && strings.HasPrefix(out[last], name) {
			out[last] += " " + value
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

// makefileLines says what the Makefile of a pkgsrc or FreeBSD package has to say
// of an item, because the packing list cannot.
func makefileLines(tree string, it *Item) []string {
	switch tree {
	case "pkgsrc":
		return pkgsrcMakefile(it)
	case "freebsd":
		return freebsdMakefile(it)
	}
	return nil
}

func freebsdMakefile(it *Item) []string {
	name, rest, _ := strings.Cut(it.Text, ":")
	switch {
	case it.Kind == KindUser: // uid:gid:class:comment:home:shell, in UIDs with two numbers more
		if fields := strings.SplitN(rest, ":", 4); len(fields) == 4 {
			rest = strings.Join(fields[:3], ":") + ":0:0:" + fields[3]
		}
		return []string{"USERS+= " + name + " # in UIDs " + name + ":*:" + rest}
	case it.Kind == KindGroup:
		return []string{"GROUPS+= " + name + " # in GIDs " + name + ":*:" + rest + ":"}
	case it.Type == TypeRCScript:
		return []string{"USE_RC_SUBR+= " + path.Base(it.Path)}
	}
	return nil
}

func pkgsrcMakefile(it *Item) []string {
	var lines []string
	switch it.Type {
	case TypeRCScript:
		lines = append(lines, "RCD_SCRIPTS+= "+path.Base(it.Path))
	case TypeShell:
		lines = append(lines, "PKG_SHELL+= "+printable(it.Path))
	case TypeInfo:
		lines = append(lines, "INFO_FILES= yes")
	}
	switch {
	case it.Kind == KindUser:
		return pkgsrcUser(it)
	case it.Kind == KindGroup:
		name, gid, _ := strings.Cut(it.Text, ":")
		return []string{"PKG_GROUPS+= " + name, "PKG_GID." + name + "?= " + gid}
	case it.Kind == KindSample && it.Text == "":
		return append(lines, "OWN_DIRS+= "+printable(it.Path))
	case it.Kind == KindSample && it.special():
		return append(lines, "CONF_FILES_PERMS+= "+Var("PREFIX")+"/"+printable(it.Text)+" "+permissions(it))
	case it.Kind == KindSample:
		return append(lines, "CONF_FILES+= "+Var("PREFIX")+"/"+printable(it.Text)+" "+printable(it.Path))
	case !it.special():
	case it.Kind == KindDir:
		return append(lines, "OWN_DIRS_PERMS+= "+permissions(it))
	default:
		return append(lines, "SPECIAL_PERMS+= "+permissions(it))
	}
	return lines
}

// pkgsrcUser says who "name:uid:gid:class:comment:home:shell" is; a name that is
// known for the group is in the item's.
func pkgsrcUser(it *Item) []string {
	fields := strings.SplitN(it.Text, ":", 7)
	name := fields[0]
	if len(fields) < 7 {
		return []string{"PKG_USERS+= " + it.Text}
	}
	return []string{
		"PKG_USERS+= " + name + ":" + cmp.Or(it.Group, fields[2]), "PKG_UID." + name + "?= " + fields[1],
		"PKG_GECOS." + name + "= " + fields[4], "PKG_HOME." + name + "= " + fields[5], "PKG_SHELL." + name + "= " + fields[6],
	}
}

// permissions are a path, a user, a group and, if need be, a mode, as pkgsrc's
// variables want them.
func permissions(it *Item) string {
	owner, group := cmp.Or(it.Owner, Var("REAL_ROOT_USER")), cmp.Or(it.Group, Var("REAL_ROOT_GROUP"))
	return strings.TrimSpace(printable(it.Path) + " " + owner + " " + group + " " + it.Mode)
}
