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

// shellVariable is a reference as make(1) and PLIST_SUBST have it.
var shellVariable = regexp.MustCompile(`\$\{([^{}$]+)\}`)

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
	n := strings.IndexAny(line, " \t")
	if n < 0 {
		n = len(line)
	}
	for _, command := range pkgsrcCommands {
		if strings.HasPrefix(line, command) {
			n = len(command)
			break
		}
	}
	cutWord(line, n, l)
}

// readPkgsrc reads a line of a PLIST. A +CONTENTS has commands of its own; they
// are KindOther.
func readPkgsrc(r *reader, l *Line, it *Item) {
	for _, name := range l.When {
		it.When = append(it.When, Cond{Name: name})
	}
	arg := unexpand(l.Arg, shellVariable)
	switch l.Word {
	case "":
		it.Kind, it.Path = KindFile, strings.TrimPrefix(arg, "./")
		if arg == "" {
			it.Kind = KindBlank
		}
		r.attributes(it)
	case "@pkgdir":
		it.Kind, it.Path = KindDir, arg
		r.attributes(it)
	case "@dirrm":
		it.Kind, it.Path = KindRmdir, arg
	case "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case "@exec":
		it.Kind, it.Text = KindExec, arg
	case "@unexec":
		it.Kind, it.Text = KindUnexec, arg
	case "@comment":
		readComment(l.Arg, "$NetBSD", it)
		if strings.HasPrefix(l.Arg, "MD5:") || strings.HasPrefix(l.Arg, "Symlink:") {
			it.Kind = KindOther // a record of the file before
		}
	default:
		if !r.set(l.Word, arg) {
			it.Kind = KindOther
		}
	}
}

// readComment tells the line of version control from others.
func readComment(text, id string, it *Item) {
	it.Kind, it.Text = KindComment, text
	if rest, ok := strings.CutPrefix(text, id); ok && (strings.HasPrefix(rest, "$") || strings.HasPrefix(rest, ":")) {
		it.Kind = KindID
	}
}

// set takes @owner, @group and @mode, which hold for the lines after them.
func (r *reader) set(word, arg string) bool {
	switch word {
	case "@owner":
		r.owner = arg
	case "@group":
		r.group = arg
	case "@mode":
		r.mode = arg
	default:
		return false
	}
	return true
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
	case KindPrefix:
		if it.Path == "" {
			return it.refuse("pkgsrc", "@cwd needs a directory")
		}
		w.line("@cwd ", expand(it.Path, "${", "}"))
	case KindFile, KindDir, KindRmdir:
		return renderPkgsrcPath(w, it, when)
	case KindSample, KindUser, KindGroup: // are the Makefile's: CONF_FILES, OWN_DIRS, PKG_USERS
		w.line(when, "@comment Makefile: ", expand(makefileLine("pkgsrc", it), "${", "}"))
	default:
		if !w.command(pkgsrcTexts, it, when, [2]string{"${", "}"}) {
			return it.refuse("pkgsrc", "there is no such command")
		}
	}
	return nil
}

func renderPkgsrcPath(w *writer, it *Item, when string) error {
	path, err := pkgsrcPath(it)
	if err != nil {
		return err
	}
	if line := typeLine("pkgsrc", it); line != "" {
		w.line("@comment Makefile: ", expand(line, "${", "}"))
	}
	if it.special() {
		w.line("@comment Makefile: ", expand(makefileLine("pkgsrc", it), "${", "}"))
	}
	switch it.Kind {
	case KindDir:
		w.line(when, "@pkgdir ", path)
	case KindRmdir:
		w.line(when, "@dirrm ", path)
	default:
		w.line(when, path)
	}
	return nil
}

// pkgsrcWhen writes conditions. PLIST_VARS has no negation: the Makefile must
// define the opposite under a name of its own.
func pkgsrcWhen(it *Item) (string, error) {
	var b strings.Builder
	for _, c := range it.When {
		if strings.ContainsAny(c.Name, "{}$\n") {
			return "", it.refuse("pkgsrc", "a condition of that name")
		}
		if c.Not {
			b.WriteString("${PLIST.no_" + c.Name + "}")
		} else {
			b.WriteString("${PLIST." + c.Name + "}")
		}
	}
	return b.String(), nil
}

// pkgsrcPath writes a name so that pkg_install's parser gives it back.
func pkgsrcPath(it *Item) (string, error) {
	path := it.Path
	switch {
	case path == "":
		return "", it.refuse("pkgsrc", "an empty name")
	case strings.Contains(path, "\n"):
		return "", it.refuse("pkgsrc", "a newline in a name")
	case path != strings.TrimRight(path, pkgsrcSpace):
		return "", it.refuse("pkgsrc", "white space at the end of a name")
	case shellVariable.MatchString(path):
		return "", it.refuse("pkgsrc", "a name that reads as a variable")
	case it.Kind != KindFile && path != strings.TrimLeft(path, pkgsrcSpace):
		return "", it.refuse("pkgsrc", "white space at the start of a directory's name")
	case it.Kind == KindFile && path[0] == '@':
		path = "./" + path // measured: pkg_add takes it, and finds the member of the same spelling
	}
	return expand(path, "${", "}"), nil
}
