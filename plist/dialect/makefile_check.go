package dialect

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// A frame is what a tree's framework gives every port.
type frame struct {
	variables *regexp.Regexp // names of variables that a list may use without the Makefile
	subst     string         // the Makefile's variable for more of them, "NAME=value" each
}

// frames are by tree: the variables of the frameworks, and of the languages'
// modules by how their names begin.
var frames = map[string]frame{
	"pkgsrc": {
		regexp.MustCompile(`^((OPSYS|OS_VERSION|LN|LOCALBASE|VIEWBASE|X11BASE|CHGRP|CHMOD|CHOWN|MKDIR|RMDIR|RM|TRUE|PREFIX|NATIVE_OPSYS)$|` +
			`(MACHINE|LOWER|PKG|PY|EGG|WHEEL|GEM|RUBY|RB|PERL5|LUA|TEX|TCL|TK|PHP|GUILE|EMACS|FOR_|NOTFOR_|LINUX|EMUL|ERL|OCAML|HASKELL|QT|QORE|GO|PG|APACHE|GTK|GCC|JAVA|FONTS|IMAKE|X11|XLOCALE)[A-Za-z0-9_]*$)`),
		"PLIST_SUBST",
	},
	"freebsd": {
		regexp.MustCompile(`^(OSREL|OSVERSION|PREFIX|LOCALBASE|RESETPREFIX|LIB32DIR|DATADIR|DOCSDIR|EXAMPLESDIR|WWWDIR|ETCDIR|DESKTOPDIR|PORTNAME|PORTVERSION|PORTDOCS|PORTEXAMPLES|PORTDATA|DEBUG|ARCH|OPSYS|SITE_PERL|SITE_ARCH|` +
			`(PERL|PYTHON|RUBY|GEM|PHP|LUA|TCL|TK|APACHE|LINUX|CMAKE|GNOME|GTK|KDE|KF|QT|JAVA|OCAML)[A-Z0-9_]*)$`),
		"PLIST_SUB",
	},
	"openbsd": {
		regexp.MustCompile(`^(ARCH|MACHINE_ARCH|MACHINE_CPU|BASE_PKGPATH|FLAVOR_EXT|FLAVORS?|FULLPKG(NAME|PATH)(-.*)?|HOMEPAGE|MAINTAINER|PKGSTEM|PKGNAME|DISTNAME|PREFIX|LOCALBASE|TRUEPREFIX|` +
			`BASELOCALSTATEDIR|SYSCONFDIR|LOCALSTATEDIR|VARBASE|X11BASE|RCDIR|REV|MODULE_NAME|(P5|GEM|RUBY|PHP|MOD)[A-Za-z0-9_]*)$`),
		"SUBST_VARS",
	},
}

// A declaration looks for what a list and the port's Makefile do not agree on. It
// tells each thing once, at the first line that it is about.
type declaration struct {
	*checker
	names map[string]bool // conditions, variables and lines of the Makefile so far
	port  string          // FreeBSD's PORTNAME, if it is known
}

// declared checks a list against the port's Makefile.
func (c *checker) declared(items []Item) {
	d := &declaration{checker: c, names: make(map[string]bool)}
	if names := c.makefile.of("PORTNAME"); len(names) == 1 {
		d.port = names[0]
	}
	for i := range items {
		it := c.at(items, i)
		for _, cond := range it.When {
			if d.first("condition " + cond.String()) {
				d.condition(cond)
			}
		}
		parts := strings.Split(it.Path, "\x00")
		for k := 1; k < len(parts); k += 2 {
			if d.first("variable " + parts[k]) {
				d.variable(parts[k])
			}
		}
		if it.Kind == KindFile {
			d.needs(it)
		}
	}
	c.line = 0
	c.samples(items)
}

// first reports whether a name was not looked at before.
func (d *declaration) first(name string) bool {
	if d.names[name] {
		return false
	}
	d.names[name] = true
	return true
}

// want reports that a line of the Makefile is missing.
func (d *declaration) want(severity Severity, line string) {
	if d.first(line) && !d.makefile.has(line) {
		d.report(severity, "the Makefile does not have %s", shown(line))
	}
}

// conditionsOf are the conditions that files of pkgsrc's framework define.
var conditionsOf = map[string]string{"ocaml-opt": "../../mk/ocaml.mk", "doc": "../../mk/haskell.mk"}

// condition wants a condition to be one of the Makefile's.
func (d *declaration) condition(cond Cond) {
	name := cond.String()
	switch d.doc.Format {
	case "pkgsrc":
		if !d.makefile.may("PLIST_VARS", name) && !d.makefile.defines("PLIST."+name) && !d.makefile.includes(conditionsOf[name]) {
			d.report(Warning, "the condition %s is not in PLIST_VARS", name)
		}
	case "freebsd":
		if name := swapCase(cond.Name); !d.freebsdOption(name) && !d.freebsdOption("NO_"+name) {
			d.report(Warning, "the condition %s is neither an option nor in PLIST_SUB", name)
		}
	}
}

// freebsdOption reports whether PLIST_SUB has a name, or OPTIONS_SUB makes it
// from an option.
func (c *checker) freebsdOption(name string) bool {
	if c.substituted("PLIST_SUB", name) || frames["freebsd"].variables.MatchString(name) {
		return true
	}
	for variable := range c.makefile.words {
		switch {
		case strings.HasPrefix(variable, "OPTIONS_") && c.makefile.may(variable, name),
			strings.HasSuffix(variable, "_PLIST_SUB") && c.substituted(variable, name):
			return true
		}
	}
	return false
}

// substituted reports whether a variable's words may have "NAME=value".
func (c *checker) substituted(variable, name string) bool {
	return c.makefile.unread || slices.ContainsFunc(c.makefile.of(variable), func(word string) bool {
		key, _, _ := strings.Cut(word, "=")
		return couldBe(key, name)
	})
}

// variable wants a variable to be the framework's or the Makefile's.
func (d *declaration) variable(name string) {
	frame := frames[d.doc.Format]
	lib, ok := strings.CutPrefix(name, "LIB")
	lib, versioned := strings.CutSuffix(lib, "_VERSION")
	switch {
	case strings.HasPrefix(name, "PLIST."), d.makefile.unread:
	case ok && versioned && d.doc.Format == "openbsd":
		if !d.makefile.may("SHARED_LIBS", lib) && !d.makefile.defines(name) {
			d.report(Error, "SHARED_LIBS does not have %s", lib)
		}
	case frame.variables.MatchString(name), d.substituted(frame.subst, name):
	case d.doc.Format == "freebsd" && (d.freebsdOption(name) || d.makefile.uses() != nil): // what USES brings is not known
	default:
		d.report(Warning, "the variable %s is not in %s", name, frame.subst)
	}
}

// freebsdDirs are the directories that FreeBSD's framework has variables for.
var freebsdDirs = [][2]string{{"share/doc/", "DOCSDIR"}, {"share/examples/", "EXAMPLESDIR"}, {"share/", "DATADIR"}, {"etc/", "ETCDIR"}}

// needs wants the Makefile to declare what a file needs.
func (d *declaration) needs(it *Item) {
	name := it.Path
	switch d.doc.Format {
	case "pkgsrc":
		if strings.HasPrefix(name, Var("PKGLOCALEDIR")+"/") {
			d.want(Warning, "USE_PKGLOCALEDIR= yes")
		}
		if strings.HasPrefix(name, "info/") || strings.HasPrefix(name, Var("PKGINFODIR")+"/") {
			d.want(Warning, "INFO_FILES= yes")
		}
	case "freebsd":
		for _, dir := range freebsdDirs {
			if rest, ok := strings.CutPrefix(name, dir[0]+d.port); ok && d.port != "" && strings.HasPrefix(rest, "/") && !d.makefile.defines(dir[1]) && d.first(dir[1]) {
				d.report(Warning, "the directory is %%%%%s%%%%", dir[1])
			}
		}
	}
	for i := range hookRules {
		if rule := &hookRules[i]; rule.missing != "" {
			if line := rule.line(d.doc.Format, name); line != "" {
				d.want(rule.missing, line)
			}
		}
	}
}

// has reports whether a line, or what comes to the same, may be there.
func (m *Makefile) has(line string) bool {
	if file, ok := strings.CutPrefix(line, ".include "); ok {
		return m.unread || m.includes(strings.Trim(file, `"`))
	}
	name, value, _ := strings.Cut(line, " ")
	name = strings.TrimRight(name, "+=")
	if name != "USES" {
		return m.defines(name)
	}
	return m.unread || slices.ContainsFunc(m.uses(), func(word string) bool {
		word, _, _ = strings.Cut(word, ":")
		return couldBe(word, value) || strings.HasPrefix(value, word+"-") || word == "linux" || word == "kde" // "gettext" is its tools and runtime
	})
}

// uses returns FreeBSD's USES, with those of options.
func (m *Makefile) uses() []string {
	var words []string
	for variable := range m.words {
		if variable == "USES" || strings.HasSuffix(variable, "_USES") {
			words = append(words, m.of(variable)...)
		}
	}
	return words
}

// samples wants the files that the Makefile's CONF_FILES and SPECIAL_PERMS are
// about to be in the list.
func (c *checker) samples(items []Item) {
	if c.doc.Format != "pkgsrc" || c.makefile.unread || c.makefile.lists != 1 {
		return
	}
	var listed []string
	for i := range items {
		if items[i].Kind == KindFile {
			listed = append(listed, shown(items[i].Path))
		}
	}
	for _, v := range []struct {
		name string
		size int // words of each file
	}{{"CONF_FILES", 2}, {"REQD_FILES", 2}, {"CONF_FILES_PERMS", 5}, {"SPECIAL_PERMS", 4}} {
		words := c.makefile.of(v.name)
		for i := 0; i+v.size <= len(words); i += v.size {
			name, below := strings.CutPrefix(path.Clean(words[i]), "${PREFIX}/")
			if !below || slices.ContainsFunc(listed, func(s string) bool { return couldBe(name, s) || couldBe(s, name) }) {
				continue
			}
			c.report(Error, "%s is in %s and not in the list", path.Clean(words[i]), v.name)
		}
	}
}
