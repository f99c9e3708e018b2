package dialect

import (
	"regexp"
	"slices"
	"strings"
)

// freebsdSpace is what pkg(8) strips on both sides of a line.
const freebsdSpace = " \t\r\n\v\f"

// leadingVariable is one at the start of a line.
var leadingVariable = regexp.MustCompile(`^%%([A-Za-z0-9_.-]+)%%`)

// behindVariable is what the rest of a path begins with, and what nothing does
// that stands behind a condition.
const behindVariable = "/.-_+ "

// splitFreeBSD tells a condition from a variable by what follows: OPTIONS_SUB
// makes a condition empty or a comment, so that a path or a keyword follows at
// once, while the path goes on behind a variable's directory with a slash.
func splitFreeBSD(line string, l *Line) {
	line, l.End = cutEnd(line, freebsdSpace)
	rest := strings.TrimLeft(line, freebsdSpace)
	l.Lead, line = line[:len(line)-len(rest)], rest
	for {
		m := leadingVariable.FindString(line)
		if m == "" || len(line) == len(m) || strings.IndexByte(behindVariable, line[len(m)]) >= 0 {
			break
		}
		l.When = append(l.When, m[2:len(m)-2])
		line = line[len(m):]
	}
	if !strings.HasPrefix(line, "@") {
		l.Arg = line
		return
	}
	n := strings.IndexAny(line, "("+freebsdSpace)
	if n < 0 {
		n = len(line)
	}
	cutWord(line, n, freebsdSpace, l)
	if end := strings.IndexByte(l.Arg, ')'); l.Gap == "" && strings.HasPrefix(l.Arg, "(") && end > 0 {
		attrs, arg := l.Arg[:end+1], l.Arg[end+1:]
		l.Attrs, l.Arg = attrs, strings.TrimLeft(arg, freebsdSpace)
		l.Gap = arg[:len(arg)-len(l.Arg)]
	}
}

func readFreeBSD(r *reader, l *Line, it *Item) {
	for _, name := range l.When {
		it.When = append(it.When, freebsdCond(name))
	}
	arg := freebsdSpelling.read(l.Arg)
	it.Path = trimHere(arg)
	switch l.Word {
	case "", "@":
		it.Kind = KindFile
		if l.Word == "" && arg == "" {
			it.Kind = KindBlank
		} else if l.Word == "" && arg[0] == '#' {
			it.Kind, it.Path, it.Text = KindComment, "", strings.TrimLeft(l.Arg[1:], " ")
		}
	case "@info":
		it.Kind, it.Type = KindFile, TypeInfo
	case "@shell":
		it.Kind, it.Type = KindFile, TypeShell
	case "@sample":
		it.Kind = KindSample
	case "@dir":
		it.Kind, it.Path = KindDir, trimSlash(arg)
	case "@fontsdir":
		it.Kind, it.Path, it.Type = KindDir, trimSlash(arg), TypeFonts
	case "@dirrm", "@dirrmtry":
		it.Kind, it.Path = KindRmdir, trimSlash(arg)
	default:
		it.Path = ""
		readFreeBSDCommand(r, l, it)
		return
	}
	if !it.aboutPath() {
		return
	}
	r.attributes(it)
	switch {
	case !keywordAttributes(l.Attrs, it):
		it.Kind = KindOther
	case it.Kind == KindSample:
		r.freebsdSample(arg, it)
	}
}

// readFreeBSDCommand reads the keywords that are not about one path.
func readFreeBSDCommand(r *reader, l *Line, it *Item) {
	arg := freebsdSpelling.read(l.Arg)
	switch {
	case l.Attrs != "":
		it.Kind = KindOther
	case l.Word == "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case l.Word == "@exec" || l.Word == "@postexec":
		it.Kind, it.Text = KindExec, arg
	case l.Word == "@unexec" || l.Word == "@postunexec":
		it.Kind, it.Text = KindUnexec, arg
	case l.Word == "@comment":
		readComment(l.Arg, "$FreeBSD", it)
	case strings.ContainsAny(arg, freebsdBounds) || !r.set(l, arg):
		it.Kind = KindOther
	}
}

// freebsdSample makes two items of "@sample FILE [COPY]": the file, and the copy
// that is made of it.
func (r *reader) freebsdSample(arg string, it *Item) {
	words := quotedWords(arg)
	if len(words) == 0 || len(words) > 2 || slices.ContainsFunc(words, oddSample) {
		it.Kind = KindOther
		return
	}
	file := *it
	file.Kind, file.Path = KindFile, words[0]
	r.items = append(r.items, file)
	it.Text, it.Path = words[0], strings.TrimSuffix(words[0], ".sample")
	if len(words) == 2 {
		it.Path = words[1]
	}
}

// oddSample reports whether quotes make no word of a name that can stand alone.
func oddSample(name string) bool {
	return name == "" || strings.ContainsAny(name, "\"\n") || strings.Trim(name, freebsdSpace) != name
}

// quotedWords splits at blanks outside of double quotes.
func quotedWords(s string) []string {
	var words []string
	for s = strings.TrimLeft(s, freebsdSpace); s != ""; s = strings.TrimLeft(s, freebsdSpace) {
		end := strings.IndexAny(s, freebsdSpace)
		if s[0] == '"' {
			if close := strings.IndexByte(s[1:], '"'); close >= 0 {
				words, s = append(words, s[1:close+1]), s[close+2:]
				continue
			}
		}
		if end < 0 {
			end = len(s)
		}
		words, s = append(words, s[:end]), s[end:]
	}
	return words
}

// keywordAttributes takes "(owner,group,mode)" over what lines before have set.
// It reports false if there is something else in them, like the flags of a file.
func keywordAttributes(attrs string, it *Item) bool {
	if attrs == "" {
		return true
	}
	fields := strings.Split(attrs[1:len(attrs)-1], ",")
	for i, to := range []*string{&it.Owner, &it.Group, &it.Mode} {
		if i >= len(fields) {
			break
		}
		if field := strings.Trim(fields[i], freebsdSpace); strings.ContainsAny(field, freebsdBounds) {
			return false
		} else if field != "" {
			*to = freebsdSpelling.read(field)
		}
	}
	return len(fields) <= 3
}

// freebsdCond reads a condition's name: OPTIONS_SUB writes it in capitals, and
// its opposite behind NO_.
func freebsdCond(name string) Cond {
	if rest, not := strings.CutPrefix(name, "NO_"); not && rest != "" {
		return Cond{Name: swapCase(rest), Not: true}
	}
	return Cond{Name: swapCase(name)}
}

// swapCase makes capitals of small letters and small letters of capitals. A name
// with both stays as it is.
func swapCase(name string) string {
	switch name {
	case strings.ToLower(name):
		return strings.ToUpper(name)
	case strings.ToUpper(name):
		return strings.ToLower(name)
	}
	return name
}

// freebsdTexts are the words before a text.
var freebsdTexts = map[Kind]string{KindComment: "@comment", KindExec: "@postexec", KindUnexec: "@postunexec"}

func renderFreeBSD(w *writer, it *Item) error {
	when, err := freebsdWhen(it)
	if err != nil {
		return err
	}
	switch it.Kind {
	case KindFile, KindDir, KindSample, KindRmdir:
		return renderFreeBSDPath(w, it, when)
	case KindID, KindBlank: // the tree has git, and no use for either
		return nil
	case KindPrefix:
		if it.Path == "" {
			w.line(when, "@cwd")
			return nil
		}
		path, err := freebsdPath(it)
		w.line(when, "@cwd ", path)
		return err
	case KindUser, KindGroup: // are the Makefile's, with a line in the tree's UIDs and GIDs
		w.makefile("", it, &freebsdSpelling)
		return nil
	}
	if it.Kind == KindComment && isID(it.Text, "$FreeBSD") {
		return it.refuse("freebsd", "a comment that has a meaning there")
	}
	return w.command(freebsdTexts, it, when, &freebsdSpelling)
}

func freebsdWhen(it *Item) (string, error) {
	var when strings.Builder
	for _, c := range it.When {
		name := swapCase(c.Name)
		if c.Not {
			name = "NO_" + name
		}
		name = "%%" + name + "%%"
		if loc := freebsdSpelling.reference.FindStringIndex(name); loc == nil || loc[1] != len(name) || freebsdCond(name[2:len(name)-2]) != c {
			return "", it.refuse("freebsd", "a condition of that name")
		}
		when.WriteString(name)
	}
	return when.String(), nil
}

func renderFreeBSDPath(w *writer, it *Item, when string) error {
	path, err := freebsdPath(it)
	if err != nil {
		return err
	}
	attrs, err := freebsdAttributes(it)
	if err != nil {
		return err
	}
	w.makefile("", it, &freebsdSpelling)
	start := len(w.b)
	switch {
	case it.Kind == KindRmdir: // pkg(8) removes what it made
		w.line(when, "@comment @dirrm ", path)
		return nil
	case it.Kind == KindSample && it.Text != "":
		return renderFreeBSDSample(w, it, when, attrs)
	case it.Kind == KindDir && it.Type == TypeFonts:
		w.line(when, "@fontsdir", attrs, " ", path)
	case it.Kind != KindFile: // a sample without a file is a directory of data, which the package makes and leaves
		w.line(when, "@dir", attrs, " ", path)
	case it.Type == TypeInfo || it.Type == TypeShell:
		w.line(when, "@", string(it.Type), attrs, " ", path)
	case attrs != "" || !freebsdPlain(when, path):
		w.line(when, "@", attrs, " ", path)
	default:
		w.line(when, path)
	}
	w.file, w.start, w.end = *it, start, len(w.b)
	return nil
}

// freebsdPlain reports whether a name needs no keyword before it to be read as
// what it is: its first characters would tell a condition from a variable.
func freebsdPlain(when, path string) bool {
	if path[0] == '#' || path[0] == '@' || when != "" && strings.IndexByte(behindVariable, path[0]) >= 0 {
		return false
	}
	m := leadingVariable.FindString(path)
	return m == "" || len(m) == len(path) && when == "" || len(m) < len(path) && strings.IndexByte(behindVariable, path[len(m)]) >= 0
}

// freebsdBounds end what stands in "(owner,group,mode)".
const freebsdBounds = ",()" + freebsdSpace

func freebsdAttributes(it *Item) (string, error) {
	switch {
	case !it.special():
		return "", nil
	case strings.ContainsAny(it.Owner+it.Group+it.Mode, freebsdBounds):
		return "", it.refuse("freebsd", "an owner or mode of that name")
	}
	return freebsdSpelling.write(it, "("+it.Owner+","+it.Group+","+it.Mode+")")
}

// renderFreeBSDSample writes the line of a sample in place of its file's. Its
// attributes are those of both.
func renderFreeBSDSample(w *writer, it *Item, when, attrs string) error {
	switch file := &w.file; {
	case it.Text != file.Path || file.Kind != KindFile:
		return it.refuse("freebsd", "its sample is not the file before")
	case file.special() && (file.Owner != it.Owner || file.Group != it.Group || file.Mode != it.Mode):
		return it.refuse("freebsd", "its sample has another owner or mode")
	case !slices.Equal(file.When, it.When) || file.Type == TypeInfo || file.Type == TypeShell:
		return it.refuse("freebsd", "its sample has another condition or keyword")
	}
	words := []string{it.Text}
	if strings.TrimSuffix(it.Text, ".sample") != it.Path || it.Text == it.Path {
		words = append(words, it.Path)
	}
	for i, word := range words {
		if oddSample(word) {
			return it.refuse("freebsd", "a quote in the name of a sample, or white space around it")
		}
		if strings.ContainsAny(word, freebsdSpace) {
			words[i] = `"` + word + `"`
		}
	}
	names, err := freebsdSpelling.write(it, strings.Join(words, " "))
	if err != nil {
		return err
	}
	w.b = slices.Delete(w.b, w.start, w.end)
	w.line(when, "@sample", attrs, " ", names)
	w.file = Item{}
	return nil
}

// freebsdPath writes a name so that pkg(8)'s parser gives it back.
func freebsdPath(it *Item) (string, error) {
	path, err := freebsdSpelling.path(it)
	switch {
	case err != nil:
		return "", err
	case path != strings.TrimRight(path, freebsdSpace) && it.Kind != KindDir && it.Kind != KindRmdir:
		return "", it.refuse("freebsd", "white space at the end of a name")
	case path != strings.TrimLeft(path, freebsdSpace) && it.Kind == KindPrefix:
		return "", it.refuse("freebsd", "white space at the start of a prefix")
	case path != strings.TrimLeft(path, freebsdSpace):
		path = "./" + path
	}
	if path != strings.TrimRight(path, freebsdSpace) {
		path += "/" // of a directory
	}
	return path, nil
}
