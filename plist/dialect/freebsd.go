package dialect

import (
	"regexp"
	"strings"
)

// freebsdSpace is what pkg(8) strips on both sides of a line.
const freebsdSpace = " \t\r\n\v\f"

// percentVariable is a reference as PLIST_SUB's sed(1) command finds it.
var percentVariable = regexp.MustCompile(`%%([A-Za-z0-9_.-]+)%%`)

// leadingVariable is one at the start of a line.
var leadingVariable = regexp.MustCompile(`^%%([A-Za-z0-9_.-]+)%%`)

// splitFreeBSD tells a condition from a variable by what follows: OPTIONS_SUB
// makes a condition empty or a comment, so that a path or a keyword follows at
// once, while the path goes on behind a variable's directory with a slash.
func splitFreeBSD(line string, l *Line) {
	line, l.End = cutEnd(line, freebsdSpace)
	rest := strings.TrimLeft(line, freebsdSpace)
	l.Lead, line = line[:len(line)-len(rest)], rest
	for {
		m := leadingVariable.FindString(line)
		if m == "" || len(line) == len(m) || strings.IndexByte("/.-_+ ", line[len(m)]) >= 0 {
			break
		}
		l.When = append(l.When, m[2:len(m)-2])
		line = line[len(m):]
	}
	if !strings.HasPrefix(line, "@") {
		l.Arg = line
		return
	}
	n := strings.IndexAny(line, " \t(")
	if n < 0 {
		n = len(line)
	}
	cutWord(line, n, l)
	if end := strings.IndexByte(l.Arg, ')'); l.Gap == "" && strings.HasPrefix(l.Arg, "(") && end > 0 {
		attrs, arg := l.Arg[:end+1], l.Arg[end+1:]
		l.Attrs, l.Arg = attrs, strings.TrimLeft(arg, " \t")
		l.Gap = arg[:len(arg)-len(l.Arg)]
	}
}

func readFreeBSD(r *reader, l *Line, it *Item) {
	for _, name := range l.When {
		it.When = append(it.When, freebsdCond(name))
	}
	arg := unexpand(l.Arg, percentVariable)
	it.Path = strings.TrimPrefix(arg, "./")
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
		readFreeBSDSample(r, l, it)
	case "@dir":
		it.Kind, it.Path = KindDir, strings.TrimSuffix(it.Path, "/")
	case "@fontsdir":
		it.Kind, it.Type = KindDir, TypeFonts
	case "@dirrm", "@dirrmtry":
		it.Kind = KindRmdir
	default:
		readFreeBSDCommand(r, l, it)
		return
	}
	r.attributes(it)
	keywordAttributes(l.Attrs, it)
}

// readFreeBSDCommand reads the keywords that are not about one path.
func readFreeBSDCommand(r *reader, l *Line, it *Item) {
	arg := unexpand(l.Arg, percentVariable)
	it.Path = ""
	switch l.Word {
	case "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case "@exec", "@postexec":
		it.Kind, it.Text = KindExec, arg
	case "@unexec", "@postunexec":
		it.Kind, it.Text = KindUnexec, arg
	case "@comment":
		readComment(l.Arg, "$FreeBSD", it)
	default:
		if !r.set(l.Word, arg) {
			it.Kind = KindOther
		}
	}
}

// readFreeBSDSample makes two items of "@sample FILE [COPY]": the file, and the
// copy that is made of it.
func readFreeBSDSample(r *reader, l *Line, it *Item) {
	words := quotedWords(unexpand(l.Arg, percentVariable))
	if len(words) == 0 || len(words) > 2 {
		it.Kind = KindOther
		return
	}
	file := *it
	file.Kind, file.Path = KindFile, words[0]
	r.attributes(&file)
	keywordAttributes(l.Attrs, &file)
	r.items = append(r.items, file)
	it.Kind, it.Text, it.Path = KindSample, words[0], strings.TrimSuffix(words[0], ".sample")
	if len(words) == 2 {
		it.Path = words[1]
	}
}

// quotedWords splits at blanks outside of double quotes.
func quotedWords(s string) []string {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		end := strings.IndexAny(s, " \t")
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
func keywordAttributes(attrs string, it *Item) {
	if attrs == "" {
		return
	}
	fields := strings.Split(attrs[1:len(attrs)-1], ",")
	for i, to := range []*string{&it.Owner, &it.Group, &it.Mode} {
		if i < len(fields) && fields[i] != "" {
			*to = unexpand(fields[i], percentVariable)
		}
	}
}

// freebsdCond reads a condition's name: OPTIONS_SUB writes it in capitals, and
// its opposite behind NO_.
func freebsdCond(name string) Cond {
	rest, not := strings.CutPrefix(name, "NO_")
	return Cond{Name: strings.ToLower(rest), Not: not}
}

// freebsdTexts are the words before a text.
var freebsdTexts = map[Kind]string{KindComment: "@comment", KindExec: "@postexec", KindUnexec: "@postunexec"}

func renderFreeBSD(w *writer, it *Item) error {
	var when strings.Builder
	for _, c := range it.When {
		name := strings.ToUpper(c.Name)
		if c.Not {
			name = "NO_" + name
		}
		if !percentVariable.MatchString("%%" + name + "%%") {
			return it.refuse("freebsd", "a condition of that name")
		}
		when.WriteString("%%" + name + "%%")
	}
	switch it.Kind {
	case KindFile, KindDir, KindSample, KindRmdir:
		return renderFreeBSDPath(w, it, when.String())
	case KindID, KindBlank: // the tree has git, and no use for either
	case KindPrefix:
		w.line(strings.TrimSpace("@cwd " + expand(it.Path, "%%", "%%")))
	case KindUser, KindGroup: // are the Makefile's, with a line in the tree's UIDs and GIDs
		w.line("@comment Makefile: ", expand(makefileLine("freebsd", it), "%%", "%%"))
	default:
		if !w.command(freebsdTexts, it, when.String(), [2]string{"%%", "%%"}) {
			return it.refuse("freebsd", "there is no such keyword")
		}
	}
	return nil
}

func renderFreeBSDPath(w *writer, it *Item, when string) error {
	path, err := freebsdPath(it)
	if err != nil {
		return err
	}
	attrs := ""
	if it.special() {
		attrs = expand("("+it.Owner+","+it.Group+","+it.Mode+")", "%%", "%%")
	}
	if line := typeLine("freebsd", it); line != "" {
		w.line("@comment Makefile: ", expand(line, "%%", "%%"))
	}
	start := len(w.b)
	switch {
	case it.Kind == KindRmdir: // pkg(8) removes what it made
		return nil
	case it.Kind == KindSample:
		return renderFreeBSDSample(w, it, when, attrs)
	case it.Kind == KindDir && it.Type == TypeFonts:
		w.line(when, "@fontsdir", attrs, " ", path)
	case it.Kind == KindDir:
		w.line(when, "@dir", attrs, " ", path)
	case it.Type == TypeInfo || it.Type == TypeShell:
		w.line(when, "@", string(it.Type), attrs, " ", path)
	case attrs != "" || path[0] == '#' || path[0] == '@':
		w.line(when, "@", attrs, " ", path)
	default:
		w.line(when, path)
	}
	w.file, w.start, w.attrs = it.Path, start, attrs
	return nil
}

// renderFreeBSDSample writes the line of a sample in place of its file's. Its
// attributes are those of both.
func renderFreeBSDSample(w *writer, it *Item, when, attrs string) error {
	if it.Text == "" { // a directory of data, which the package makes and leaves
		w.line(when, "@dir", attrs, " ", expand(it.Path, "%%", "%%"))
		return nil
	}
	if it.Text != w.file {
		return it.refuse("freebsd", "its sample is not the file before")
	}
	if attrs == "" {
		attrs = w.attrs
	}
	w.b = w.b[:w.start]
	words := []string{it.Text}
	if strings.TrimSuffix(it.Text, ".sample") != it.Path || it.Text == it.Path {
		words = append(words, it.Path)
	}
	for i, word := range words {
		if strings.Contains(word, `"`) {
			return it.refuse("freebsd", "a quote in the name of a sample")
		}
		if strings.ContainsAny(word, " \t") {
			words[i] = `"` + word + `"`
		}
	}
	w.line(when, "@sample", attrs, " ", expand(strings.Join(words, " "), "%%", "%%"))
	return nil
}

// freebsdPath writes a name so that pkg(8)'s parser gives it back.
func freebsdPath(it *Item) (string, error) {
	path := it.Path
	blank := path != strings.TrimLeft(path, freebsdSpace)
	switch {
	case path == "":
		return "", it.refuse("freebsd", "an empty name")
	case strings.Contains(path, "\n"):
		return "", it.refuse("freebsd", "a newline in a name")
	case path != strings.TrimRight(path, freebsdSpace):
		return "", it.refuse("freebsd", "white space at the end of a name")
	case percentVariable.MatchString(path):
		return "", it.refuse("freebsd", "a name that reads as a variable")
	case blank && it.Kind != KindFile:
		return "", it.refuse("freebsd", "white space at the start of a directory's name")
	case blank:
		path = "./" + path
	}
	return expand(path, "%%", "%%"), nil
}
