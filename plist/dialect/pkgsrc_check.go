package dialect

import (
	"path"
	"regexp"
	"strings"
)

// pkgsrcRules are those of pkglint's PLIST check, and of the pkgsrc guide.
var pkgsrcRules = rules([][4]string{
	{"etc/", `^etc/rc\.d/`, "error", "rc.d scripts are installed by RCD_SCRIPTS"},
	{"etc/", `^etc/`, "error", "configuration files are installed by CONF_FILES"},
	{"doc/", `^doc/`, "error", "documentation belongs into share/doc"},
	{"lib/locale/", `^lib/locale/`, "error", "locales belong into share/locale"},
	{"bin/", `^bin/.*/`, "warning", "there are no directories in bin"},
	{"share/doc/html/", `^share/doc/html/`, "warning", "documentation belongs into share/doc/PKGBASE"},
	{"share/info/", `^share/info/`, "warning", "info files belong into info"},
	{"share/man/", `^share/man/`, "warning", "manual pages belong into man"},
	{".egg-info/", `\.egg-info/`, "warning", "include lang/python/egg.mk and write ${EGG_INFODIR}"},
	{"PKGMANDIR", "^\x00PKGMANDIR\x00/", "note", "manual pages are written as man/"},
	{"IMAKE_MANNEWSUFFIX", `IMAKE_MANNEWSUFFIX`, "warning", "print-PLIST left it: write the section's own, like IMAKE_MAN_SUFFIX"},
	{"man/", `^man/.*\.gz$`, "note", "manual pages are listed without .gz: MANZ decides"},
})

// pkgsrcWords are the commands of a source PLIST.
var pkgsrcWords = map[string]bool{"@exec": true, "@unexec": true, "@comment": true, "@imake-man": true, "@pkgdir": true}

var (
	pkgsrcMan     = regexp.MustCompile(`^man/(man|cat)(\w+)/(.+)\.(\w+)$`)
	pkgsrcLibrary = regexp.MustCompile(`(\.a|\.so[0-9.]*)$`)
	pkgsrcRmdir   = regexp.MustCompile("^(rmdir|\x00RMDIR\x00 %D/)")
)

func checkPkgsrc(c *checker, items []Item) {
	c.firstLine(items, "$NetBSD$")
	c.pkgsrcSorted(items)
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindBlank:
			c.report(Warning, "blank line")
		case it.Kind == KindExec || it.Kind == KindUnexec:
			c.pkgsrcCommand(it)
		case it.Kind == KindFile:
			c.pkgsrcFile(items, i)
		}
	}
	for i := range c.doc.Lines {
		c.line = i + 1
		switch word := c.doc.Lines[i].Word; {
		case word == "@imake-man" && len(strings.Fields(c.doc.Lines[i].Arg)) != 3:
			c.report(Warning, "@imake-man wants three arguments")
		case word == "@dirrm":
			c.report(Warning, "@dirrm is obsolete: directories go when they are empty")
		case word != "" && !pkgsrcWords[word]:
			c.report(Warning, "unknown command %s", word)
		}
	}
}

func (c *checker) pkgsrcCommand(it *Item) {
	switch {
	case strings.Contains(it.Text, "ldconfig") && !strings.Contains(it.Text, "/usr/bin/true"):
		c.report(Error, "ldconfig may fail: write || /usr/bin/true behind it")
	case it.Kind == KindUnexec && pkgsrcRmdir.MatchString(it.Text) && !strings.Contains(it.Text, "true") && !strings.Contains(it.Text, "TRUE"):
		c.report(Warning, "directories go when they are empty")
	}
}

// pkgsrcPlain reports whether a line is a path as pkglint takes it.
func pkgsrcPlain(it *Item) bool {
	return it.Kind == KindFile && (it.Path[0] == 0 || isAlnum(it.Path[0])) // 0 begins a variable
}

func (c *checker) pkgsrcFile(items []Item, i int) {
	it := &items[i]
	if !pkgsrcPlain(it) {
		c.report(Error, "%q: a path begins with a letter, a digit or a variable", shown(it.Path))
		return
	}
	c.paths(it, pkgsrcRules)
	if !isASCII(it.Path) && (i == 0 || items[i-1].Kind != KindComment && isASCII(items[i-1].Path)) {
		c.report(Warning, "%q is not ASCII: say in a comment before it that it is meant so", it.Path)
	}
	if strings.HasPrefix(it.Path, "lib/") && (strings.Contains(it.Path, ".so") || strings.HasSuffix(it.Path, ".a")) {
		c.pkgsrcLibrary(it)
	}
	c.pkgsrcManPage(it)
}

// pkgsrcLibrary wants no library beside the libtool archive that stands for it.
func (c *checker) pkgsrcLibrary(it *Item) {
	archive := pkgsrcLibrary.ReplaceAllString(it.Path, ".la")
	if line := c.listed[c.key(archive)]; archive != it.Path && line > 0 {
		c.report(Warning, "%s is listed by its libtool archive, line %d", it.Path, line)
	}
}

// pkgsrcManPage wants a page in the directory of its section.
func (c *checker) pkgsrcManPage(it *Item) {
	if !strings.HasPrefix(it.Path, "man/") {
		return
	}
	m := pkgsrcMan.FindStringSubmatch(strings.TrimSuffix(it.Path, ".gz"))
	if m == nil {
		return
	}
	kind, section, suffix := m[1], m[2], m[4]
	switch page := "man/man" + section + "/" + m[3] + "." + section; {
	case len(section) > 1 || !strings.Contains("0123456789ln", section):
		c.report(Warning, "%s: unknown section %s", it.Path, section)
	case kind == "cat" && c.listed[c.key(page)] == 0:
		c.report(Warning, "%s: a formatted page without its source %s", it.Path, page)
	case kind == "man" && section[0] != suffix[0]:
		c.report(Warning, "%s: section %s in the directory of section %s", path.Base(it.Path), suffix, section)
	}
}

// pkgsrcSorted compares names in bytewise order, those with variables left out.
func (c *checker) pkgsrcSorted(items []Item) {
	last := ""
	for i := range items {
		it := &items[i]
		switch {
		case it.Kind == KindPrefix:
			last = ""
		case it.Kind != KindFile || !pkgsrcPlain(it) || strings.Contains(it.Path, "\x00"):
			continue
		case it.Path < last:
			c.line = it.Line
			c.report(Warning, "%s should be sorted before %s", it.Path, last)
		}
		if it.Kind == KindFile {
			last = it.Path
		}
	}
}

// isASCII reports whether s has nothing but printable ASCII.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != 0 || s[i] > '~' { // 0 is at a variable
			return false
		}
	}
	return true
}
