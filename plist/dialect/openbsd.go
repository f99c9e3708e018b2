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
	cutWord(line, n, l)
}

func readOpenBSD(r *reader, l *Line, it *Item) {
	arg := unexpand(l.Arg, shellVariable)
	typ, isFile := openbsdTypes[l.Word]
	switch {
	case l.Word == "" && fragmentLine.MatchString(l.Arg):
		name := strings.Trim(l.Arg, "!%")
		it.Kind, it.Text, it.When = KindFragment, l.Arg, []Cond{{Name: name, Not: l.Arg[0] == '!'}}
	case l.Word == "" && arg == "":
		it.Kind = KindBlank
	case l.Word == "" || isFile || l.Word == "@dir":
		it.Kind, it.Path, it.Type = KindFile, strings.ReplaceAll(arg, `$\{`, "${"), typ
		if dir, ok := strings.CutSuffix(it.Path, "/"); ok || l.Word == "@dir" {
			it.Kind, it.Path, it.Type = KindDir, dir, ""
		}
		r.attributes(it)
	case l.Word == "@mandir" || l.Word == "@fontdir":
		it.Kind, it.Path, it.Type = KindDir, strings.TrimSuffix(arg, "/"), TypeManDir
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
	var ok bool
	if it.Path, ok = strings.CutSuffix(arg, "/"); ok {
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
	arg := unexpand(l.Arg, shellVariable)
	switch l.Word {
	case "@cwd":
		it.Kind, it.Path = KindPrefix, arg
	case "@comment":
		readComment(l.Arg, "$OpenBSD", it)
		if l.Arg == "no checksum" || l.Arg == "no debug" {
			it.Kind = KindOther // is about the next file
		}
	default:
		for kind, word := range openbsdTexts {
			if word == l.Word {
				it.Kind, it.Text = kind, arg
				return
			}
		}
		if !r.set(l.Word, arg) {
			it.Kind = KindOther
		}
	}
}

// openbsdTexts are the words before a text.
var openbsdTexts = map[Kind]string{
	KindComment: "@comment", KindExec: "@exec", KindUnexec: "@unexec", KindUser: "@newuser", KindGroup: "@newgroup", KindTag: "@tag",
}

func renderOpenBSD(w *writer, it *Item) error {
	if len(it.When) > 0 && it.Kind != KindFragment {
		return it.refuse("openbsd", "a condition needs a fragment, a file of its own")
	}
	switch it.Kind {
	case KindFile, KindDir, KindSample, KindRmdir:
		return renderOpenBSDPath(w, it)
	case KindID:
		w.line("@comment $OpenBSD: PLIST,v$")
	case KindBlank:
	case KindPrefix:
		if it.Path == "" {
			return it.refuse("openbsd", "@cwd needs a directory")
		}
		w.line("@cwd ", expand(it.Path, "${", "}"))
	case KindFragment:
		w.line(it.Text)
	default:
		if !w.command(openbsdTexts, it, "", [2]string{"${", "}"}) {
			return it.refuse("openbsd", "there is no such command")
		}
	}
	return nil
}

func renderOpenBSDPath(w *writer, it *Item) error {
	path, err := openbsdPath(it)
	if err != nil {
		return err
	}
	if it.Kind == KindSample && it.Text != "" && it.Text != w.file {
		return it.refuse("openbsd", "its sample is not the file before")
	}
	w.state("@mode", &w.mode, it.Mode)
	w.state("@owner", &w.owner, it.Owner)
	w.state("@group", &w.group, it.Group)
	switch {
	case it.Kind == KindSample:
		w.line("@sample ", path)
		return nil
	case it.Kind == KindDir && it.Type == TypeFonts:
		w.line("@fontdir ", path)
	case it.Kind == KindDir && it.Type == TypeManDir:
		w.line("@mandir ", path)
	case it.Kind == KindDir || it.Kind == KindRmdir:
		w.line(path)
	default:
		word := openbsdWords[it.Type]
		if word == "" && (path[0] == '@' || path[0] == '!' || fragmentLine.MatchString(path)) {
			word = "@file "
		}
		w.line(word, path)
	}
	w.file = it.Path
	return nil
}

// state writes what holds from here on, if it did not already.
func (w *writer) state(word string, now *string, want string) {
	if *now != want {
		w.line(strings.TrimSpace(word + " " + expand(want, "${", "}")))
		*now = want
	}
}

// openbsdPath writes a name so that PackingList.pm gives it back.
func openbsdPath(it *Item) (string, error) {
	path := it.Path
	switch {
	case path == "":
		return "", it.refuse("openbsd", "an empty name")
	case strings.Contains(path, "\n"):
		return "", it.refuse("openbsd", "a newline in a name")
	case fragmentLine.MatchString(path) && it.Kind != KindFile:
		return "", it.refuse("openbsd", "a name that reads as a fragment")
	case (it.Type != "" || it.Kind == KindSample || path[0] == '@') && path != strings.TrimLeft(path, " \t"):
		return "", it.refuse("openbsd", "white space at the start of a name behind a command")
	}
	if it.Kind != KindFile && (it.Kind != KindSample || it.Text == "") {
		path += "/"
	}
	return expand(strings.ReplaceAll(path, "${", `$\{`), "${", "}"), nil
}
