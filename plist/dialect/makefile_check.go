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

// declared checks a list against the port's Makefile.
func (c *checker) declared(items []Item) {
	said := make(map[string]bool)
	for i := range items {
		it := c.at(items, i)
		say := func(severity Severity, format, what string) {
			if !said[format+what] {
				said[format+what] = true
				c.report(severity, format, what)
			}
		}
		c.conditions(it, say)
		c.references(it, say)
		if it.Kind == KindFile {
			c.needs(it, say)
		}
	}
	c.line = 0
	c.samples(items)
}

// conditionsOf are the conditions that files of pkgsrc's framework define.
var conditionsOf = map[string]string{"ocaml-opt": "../../mk/ocaml.mk", "doc": "../../mk/haskell.mk"}

// conditions wants each condition to be one of the Makefile's.
func (c *checker) conditions(it *Item, say func(Severity, string, string)) {
	for _, cond := range it.When {
		name := cond.String()
		switch c.doc.Format {
		case "pkgsrc":
			if !c.makefile.may("PLIST_VARS", name) && !c.makefile.defines("PLIST."+name) && !c.makefile.includes(conditionsOf[name]) {
				say(Warning, "the condition %s is not in PLIST_VARS", name)
			}
		case "freebsd":
			if name := swapCase(cond.Name); !c.freebsdOption(name) && !c.freebsdOption("NO_"+name) {
				say(Warning, "the condition %s is neither an option nor in PLIST_SUB", name)
			}
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

// references wants each variable to be the framework's or the Makefile's.
func (c *checker) references(it *Item, say func(Severity, string, string)) {
	parts := strings.Split(it.Path, "\x00")
	frame := frames[c.doc.Format]
	for i := 1; i < len(parts); i += 2 {
		name := parts[i]
		if strings.HasPrefix(name, "PLIST.") || c.makefile.unread {
			continue
		}
		if lib, ok := strings.CutPrefix(name, "LIB"); ok && c.doc.Format == "openbsd" && strings.HasSuffix(lib, "_VERSION") {
			if lib = strings.TrimSuffix(lib, "_VERSION"); !c.makefile.may("SHARED_LIBS", lib) && !c.makefile.defines(name) {
				say(Error, "SHARED_LIBS does not have %s", lib)
			}
			continue
		}
		known := frame.variables.MatchString(name) || c.substituted(frame.subst, name)
		if c.doc.Format == "freebsd" { // what USES brings is not known
			known = known || c.freebsdOption(name) || c.makefile.uses() != nil
		}
		if !known {
			say(Warning, "the variable %s is not in "+frame.subst, name)
		}
	}
}

// needs wants what the tree's hooks are declared by.
func (c *checker) needs(it *Item, say func(Severity, string, string)) {
	if name := it.Path; c.doc.Format == "pkgsrc" && !c.makefile.unread {
		switch {
		case strings.HasPrefix(name, Var("PKGLOCALEDIR")+"/") && !c.makefile.defines("USE_PKGLOCALEDIR"):
			say(Warning, "the Makefile does not have %s", "USE_PKGLOCALEDIR= yes")
		case (strings.HasPrefix(name, "info/") || strings.HasPrefix(name, Var("PKGINFODIR")+"/")) && !c.makefile.defines("INFO_FILES"):
			say(Warning, "the Makefile does not have %s", "INFO_FILES= yes")
		}
	}
	if names := c.makefile.of("PORTNAME"); c.doc.Format == "freebsd" && len(names) == 1 {
		for _, dir := range [][2]string{{"share/doc/", "DOCSDIR"}, {"share/examples/", "EXAMPLESDIR"}, {"share/", "DATADIR"}, {"etc/", "ETCDIR"}} {
			if strings.HasPrefix(it.Path, dir[0]+names[0]+"/") && !c.makefile.defines(dir[1]) {
				say(Warning, "the directory is %s", "%%"+dir[1]+"%%")
			}
		}
	}
	for i := range hookRules {
		rule := &hookRules[i]
		if rule.missing == "" {
			continue
		}
		if line := rule.line(c.doc.Format, it.Path); line != "" && !c.makefile.has(line) {
			say(rule.missing, "the Makefile does not have %s", shown(line))
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
