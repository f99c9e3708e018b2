package dialect

import (
	"regexp"
	"strings"
)

// pkgsrcSpace is what the parser of pkg_install strips at the end of a line
// (isspace(3) in the C locale).
const pkgsrcSpace = " \t\n\v\f\r"

// pkgsrcVariable is what looks like one to PLIST_SUBST.
var pkgsrcVariable = regexp.MustCompile(`\$\{[^}]*\}`)

// renderPkgsrc writes an item as pkgsrc's source PLIST has it.
func renderPkgsrc(b []byte, it *Item) ([]byte, error) {
	switch it.Kind {
	case KindID:
		return append(b, "@comment $NetBSD$\n"...), nil
	case KindComment:
		return append(b, "@comment "+it.Text+"\n"...), nil
	case KindPrefix:
		return append(b, "@cwd "+it.Path+"\n"...), nil
	}
	path, err := pkgsrcPath(it)
	if err != nil {
		return nil, err
	}
	if it.Owner != "" || it.Mode != "" {
		b = append(b, pkgsrcPerms(it)...)
	}
	if it.Kind == KindDir {
		path = "@pkgdir " + path
	}
	return append(b, path+"\n"...), nil
}

// pkgsrcPath writes a name so that pkg_install's parser gives it back.
func pkgsrcPath(it *Item) (string, error) {
	path := it.Path
	refuse := func(reason string) (string, error) {
		return "", &Unexpressible{"pkgsrc", path, reason}
	}
	switch {
	case strings.Contains(path, "\n"):
		return refuse("a newline in a name")
	case path != strings.TrimRight(path, pkgsrcSpace):
		return refuse("white space at the end of a name")
	case pkgsrcVariable.MatchString(path):
		return refuse("a name that reads as a variable")
	case it.Kind == KindDir && path != strings.TrimLeft(path, pkgsrcSpace):
		return refuse("white space at the start of a directory's name")
	case it.Kind == KindFile && path[0] == '@':
		path = "./" + path // measured: pkg_add takes it, and finds the member of the same spelling
	}
	return expand(path, "${", "}"), nil
}

// pkgsrcPerms tells owner and mode in a comment: pkg_add takes them from the
// archive and has no use for @mode and @owner (measured with 20171030).
func pkgsrcPerms(it *Item) string {
	owner, group, mode := it.Owner, it.Group, it.Mode
	if owner == "" {
		owner, group = "${REAL_ROOT_USER}", "${REAL_ROOT_GROUP}"
	}
	name := "SPECIAL_PERMS"
	if it.Kind == KindDir {
		name = "OWN_DIRS_PERMS"
	}
	return strings.TrimSpace("@comment "+name+"+= "+printable(it.Path)+" "+owner+" "+group+" "+mode) + "\n"
}
