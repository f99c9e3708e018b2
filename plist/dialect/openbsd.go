package dialect

import (
	"regexp"
	"strings"
)

// openbsdTypes are the words before a path that say what it is.
var openbsdTypes = map[string]Type{
	"@file": "", "@bin": TypeProgram, "@lib": TypeLibrary, "@so": TypePlugin, "@static-lib": TypeArchive,
	"@ltlib": TypeLibtool, "@pkgconfig": TypePkgconfig, "@man": TypeMan, "@info": TypeInfo,
	"@shell": TypeShell, "@rcscript": TypeRCScript,
}

// openbsdWords is openbsdTypes the other way round.
var openbsdWords = func() map[Type]string {
	words := make(map[Type]string)
	for word, typ := range openbsdTypes {
		words[typ] = word + " "
	}
	words[""] = ""
	return words
}()

// fragmentLine includes PFRAG.x, or PFRAG.no-x.
var fragmentLine = regexp.MustCompile(`^!?%%[^%]+%%$`)

// splitOpenBSD keeps all blanks of a path: they are part of it.
func splitOpenBSD(line string, l *Line) {
	line, l.End = cutEnd(line, "")
	if !strings.HasPrefix(line, "@") {
		l.Arg = line
		return
	}
	n := strings.IndexAny(line, " \t")
	if n < 0 {
		n = len(line)
	}
	cutWord(line, n, " \t", l)
}

func readOpenBSD(r *reader, l *Line, it *Item) {
	arg := openbsdSpelling.read(l.Arg)
	typ, isFile := openbsdTypes[l.Word]
	switch {
	case l.Word == "" && fragmentLine.MatchString(l.Arg):
		name := strings.Trim(l.Arg, "!%")
		it.Kind, it.Text, it.When = KindFragment, l.Arg, []Cond{{Name: name, Not: l.Arg[0] == '!'}}
	case l.Word == "" && arg == "":
		it.Kind = KindBlank
	case l.Word == "" || isFile || l.Word == "@dir":
		it.Kind, it.Path, it.Type = KindFile, trimHere(arg), typ
		if strings.HasSuffix(arg, "/") || l.Word == "@dir" {
			it.Kind, it.Path, it.Type = KindDir, trimSlash(arg), ""
		}
		r.attributes(it)
	case l.Word == "@mandir" || l.Word == "@fontdir":
		it.Kind, it.Path, it.Type = KindDir, trimSlash(arg), TypeManDir
		if l.Word == "@fontdir" {
			it.Type = TypeFonts
		}
		r.attributes(it)
	case l.Word == "@sample":
		r.openbsdSample(it, arg)
	default:
		readOpenBSDCommand(r, l, it)
	}
}

// openbsdSample reads the copy that is made of the last file, or a directory.
func (r *reader) openbsdSample(it *Item, arg string) {
	it.Kind = KindSample
	r.attributes(it)
	if it.Path = trimSlash(arg); strings.HasSuffix(arg, "/") {
		return
	}
	for i := len(r.items) - 1; i >= 0; i-- {
		if r.items[i].Kind == KindFile {
			it.Text = r.items[i].Path
			return
		}
	}
	it.Kind = KindOther
}

func readOpenBSDCommand(r *reader, l *Line, it *Item) {
	arg := openbsdSpelling.read(l.Arg)
	switch l.Word {
	case "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case "@comment":
		readComment(l.Arg, "$OpenBSD", it)
		if aboutNext[l.Arg] {
			it.Kind = KindOther
		}
	default:
		for kind, word := range openbsdTexts {
			if word == l.Word {
				it.Kind, it.Text = kind, arg
				return
			}
		}
		if !r.set(l, arg) {
			it.Kind = KindOther
		}
	}
}

// aboutNext are comments that mean something, for the file after them.
var aboutNext = map[string]bool{"no checksum": true, "no debug": true}

// openbsdTexts are the words before a text.
var openbsdTexts = map[Kind]string{
	KindComment: "@comment", KindExec: "@exec", KindUnexec: "@unexec", KindUser: "@newuser", KindGroup: "@newgroup", KindTag: "@tag",
}

func renderOpenBSD(w *writer, it *Item) error {
	if len(it.When) > 0 && it.Kind != KindFragment {
		return it.refuse("openbsd", "a condition needs a fragment, a file of its own")
	}
	switch it.Kind {
	case KindFile, KindDir, KindSample, KindRmdir, KindPrefix:
		return renderOpenBSDPath(w, it)
	case KindID:
		w.line("@comment $OpenBSD: PLIST,v$")
	case KindBlank:
	case KindFragment:
		w.line(it.Text)
	case KindComment:
		if aboutNext[it.Text] || isID(it.Text, "$OpenBSD") {
			return it.refuse("openbsd", "a comment that has a meaning there")
		}
		fallthrough
	default:
		return w.command(openbsdTexts, it, "", &openbsdSpelling)
	}
	return nil
}

func renderOpenBSDPath(w *writer, it *Item) error {
	path, err := openbsdPath(it)
	switch {
	case err != nil:
		return err
	case it.Kind == KindPrefix:
		w.line("@cwd ", path)
		return nil
	case it.Kind == KindSample && it.Text != "" && (it.Text != w.file.Path || w.file.Kind != KindFile):
		return it.refuse("openbsd", "its sample is not the file before")
	}
	if err := w.state(it); err != nil {
		return err
	}
	switch {
	case it.Kind == KindSample:
		w.line("@sample ", path)
		return nil
	case it.Kind == KindDir && it.Type == TypeFonts:
		w.line("@fontdir ", path)
	case it.Kind == KindDir && it.Type == TypeManDir:
		w.line("@mandir ", path)
	case it.Kind != KindFile:
		w.line(openbsdWord("@dir ", path), path)
	case it.Type != "":
		w.line(openbsdWords[it.Type], path)
	default:
		w.line(openbsdWord("@file ", path), path)
	}
	w.file = *it
	return nil
}

// openbsdWord is the word that a path needs if without it would be read as
// something else.
func openbsdWord(word, path string) string {
	if path[0] == '@' || path[0] == '!' || fragmentLine.MatchString(path) {
		return word
	}
	return ""
}

// state writes the mode, owner and group that hold from here on, where they did
// not already.
func (w *writer) state(it *Item) error {
	for _, s := range []struct {
		word string
		now  *string
		want string
	}{{"@mode ", &w.mode, it.Mode}, {"@owner ", &w.owner, it.Owner}, {"@group ", &w.group, it.Group}} {
		if *s.now == s.want {
			continue
		}
		text, err := openbsdSpelling.write(it, s.want)
		if err != nil {
			return err
		}
		w.line(strings.TrimSpace(s.word + text))
		*s.now = s.want
	}
	return nil
}

// openbsdPath writes a name so that PackingList.pm gives it back.
func openbsdPath(it *Item) (string, error) {
	path, err := openbsdSpelling.path(it)
	switch {
	case err != nil:
		return "", err
	case strings.HasSuffix(path, "/") && it.Kind != KindPrefix && (path != "/" || it.Kind == KindFile || it.Text != ""):
		return "", it.refuse("openbsd", "a slash at the end of a name")
	case path[0] != ' ' && path[0] != '\t':
	case it.Kind == KindFile && it.Type == "" || it.Kind == KindDir && it.Type == "": // stands alone
	default:
		return "", it.refuse("openbsd", "white space at the start of a name behind a command")
	}
	if it.Kind != KindFile && it.Kind != KindPrefix && (it.Kind != KindSample || it.Text == "") && path != "/" {
		path += "/"
	}
	return path, nil
}
