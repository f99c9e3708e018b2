package dialect

import (
	"regexp"
	"strings"
)

// pkgsrcSpace is what the parser of pkg_install strips at the end of a line
// (isspace(3) in the C locale).
const pkgsrcSpace = " \t\n\v\f\r"

// pkgsrcCommands are in the order in which pkg_install compares them, as
// prefixes: "@commentary" is a comment.
var pkgsrcCommands = []string{
	"@cwd", "@src", "@exec", "@unexec", "@mode", "@owner", "@group", "@comment", "@ignore", "@name",
	"@display", "@pkgdep", "@pkgcfl", "@pkgdir", "@dirrm", "@option", "@blddep",
}

func splitPkgsrc(line string, l *Line) {
	line, l.End = cutEnd(line, pkgsrcSpace)
	for {
		rest, ok := strings.CutPrefix(line, "${PLIST.")
		name, rest, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			break
		}
		l.When = append(l.When, name)
		line = rest
	}
	if !strings.HasPrefix(line, "@") {
		l.Arg = line
		return
	}
	n := strings.IndexAny(line, pkgsrcSpace)
	if n < 0 {
		n = len(line)
	}
	for _, command := range pkgsrcCommands {
		if strings.HasPrefix(line, command) {
			n = len(command)
			break
		}
	}
	cutWord(line, n, pkgsrcSpace, l)
}

// pkgsrcRecord is what pkg_create(1) notes behind a file.
var pkgsrcRecord = regexp.MustCompile(`^(MD5:[0-9a-f]{32}$|Symlink:)`)

// readPkgsrc reads a line of a PLIST. A +CONTENTS has commands of its own; they
// are KindOther.
func readPkgsrc(r *reader, l *Line, it *Item) {
	for _, name := range l.When {
		it.When = append(it.When, pkgsrcCond(name))
	}
	arg := pkgsrcSpelling.read(l.Arg)
	switch l.Word {
	case "":
		it.Kind, it.Path = KindFile, trimHere(arg)
		if arg == "" {
			it.Kind = KindBlank
		}
		r.attributes(it)
	case "@pkgdir":
		it.Kind, it.Path = KindDir, trimSlash(arg)
		r.attributes(it)
	case "@dirrm":
		it.Kind, it.Path = KindRmdir, trimSlash(arg)
	case "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case "@exec":
		it.Kind, it.Text = KindExec, arg
	case "@unexec":
		it.Kind, it.Text = KindUnexec, arg
	case "@comment":
		readComment(l.Arg, "$NetBSD", it)
		if pkgsrcRecord.MatchString(l.Arg) {
			it.Kind = KindOther
		}
	default:
		if !r.set(l, arg) {
			it.Kind = KindOther
		}
	}
}

// readComment tells the line of version control from others.
func readComment(text, id string, it *Item) {
	it.Kind, it.Text = KindComment, text
	if isID(text, id) {
		it.Kind = KindID
	}
}

func isID(text, id string) bool {
	rest, ok := strings.CutPrefix(text, id)
	return ok && (strings.HasPrefix(rest, "$") || strings.HasPrefix(rest, ":"))
}

// trimHere takes the "./" off a path that some dialects protect a name with.
func trimHere(path string) string {
	for len(path) > 2 && strings.HasPrefix(path, "./") {
		path = path[2:]
	}
	return path
}

// trimSlash takes the slash off that marks a directory.
func trimSlash(path string) string {
	path = trimHere(path)
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return path
}

// pkgsrcCond reads a condition's name. PLIST_VARS has no negation: the Makefile
// must define the opposite, which we name so.
func pkgsrcCond(name string) Cond {
	if rest, not := strings.CutPrefix(name, "no_"); not && rest != "" {
		return Cond{Name: rest, Not: true}
	}
	return Cond{Name: name}
}

// pkgsrcTexts are the words before a text.
var pkgsrcTexts = map[Kind]string{KindComment: "@comment", KindExec: "@exec", KindUnexec: "@unexec"}

// renderPkgsrc writes an item as pkgsrc's source PLIST has it.
func renderPkgsrc(w *writer, it *Item) error {
	when, err := pkgsrcWhen(it)
	if err != nil {
		return err
	}
	switch it.Kind {
	case KindID:
		w.line("@comment $NetBSD$")
	case KindBlank: // has no meaning, and pkglint minds it
	case KindPrefix, KindFile, KindDir, KindRmdir:
		return renderPkgsrcPath(w, it, when)
	case KindSample, KindUser, KindGroup: // are the Makefile's: CONF_FILES, OWN_DIRS, PKG_USERS
		w.makefile(when, it, &pkgsrcSpelling)
	case KindComment:
		if pkgsrcRecord.MatchString(it.Text) || isID(it.Text, "$NetBSD") {
			return it.refuse("pkgsrc", "a comment that has a meaning there")
		}
		fallthrough
	default:
		return w.command(pkgsrcTexts, it, when, &pkgsrcSpelling)
	}
	return nil
}

func renderPkgsrcPath(w *writer, it *Item, when string) error {
	path, err := pkgsrcPath(it)
	if err != nil {
		return err
	}
	if it.Type != "" || it.special() {
		w.makefile("", it, &pkgsrcSpelling)
	}
	switch it.Kind {
	case KindPrefix:
		w.line(when, "@cwd ", path)
	case KindDir:
		w.line(when, "@pkgdir ", path)
	case KindRmdir:
		w.line(when, "@dirrm ", path)
	default:
		w.line(when, path)
	}
	return nil
}

func pkgsrcWhen(it *Item) (string, error) {
	var b strings.Builder
	for _, c := range it.When {
		if strings.ContainsAny(c.Name, "{}$\n") {
			return "", it.refuse("pkgsrc", "a condition of that name")
		}
		b.WriteString("${PLIST." + c.String() + "}")
	}
	return b.String(), nil
}

// pkgsrcPath writes a name so that pkg_install's parser gives it back.
func pkgsrcPath(it *Item) (string, error) {
	path, err := pkgsrcSpelling.path(it)
	switch {
	case err != nil:
		return "", err
	case path != strings.TrimRight(path, pkgsrcSpace) && it.Kind != KindDir && it.Kind != KindRmdir:
		return "", it.refuse("pkgsrc", "white space at the end of a name")
	case strings.HasPrefix(path, "${PLIST.") && strings.Contains(path, "}"):
		return "", it.refuse("pkgsrc", "a name that reads as a condition")
	case it.Kind != KindFile && path != strings.TrimLeft(path, pkgsrcSpace):
		return "", it.refuse("pkgsrc", "white space at the start of a directory's name")
	case it.Kind == KindFile && path[0] == '@':
		path = "./" + path // measured: pkg_add takes it, and finds the member of the same spelling
	}
	if path != strings.TrimRight(path, pkgsrcSpace) {
		path += "/" // of a directory
	}
	return path, nil
}
