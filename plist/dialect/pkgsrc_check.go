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
	{"man/", `^man/.*\.gz$`, "note", "manual pages are listed without .gz: MANZ decides"},
})

// pkgsrcWords are the commands of a source PLIST.
var pkgsrcWords = map[string]bool{"@exec": true, "@unexec": true, "@comment": true, "@imake-man": true, "@pkgdir": true, "@cwd": true}

var pkgsrcMan = regexp.MustCompile(`^man/(man|cat|html)(\w+)/(.+)\.(\w+)$`)

func checkPkgsrc(c *checker, items []Item) {
	c.firstLine(items, "$NetBSD$")
	c.pkgsrcSorted(items)
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindBlank:
			c.report(Warning, "blank line")
		case it.Kind == KindExec || it.Kind == KindUnexec:
			if strings.Contains(it.Text, "ldconfig") && !strings.Contains(strings.ReplaceAll(it.Text, " ", ""), "||/usr/bin/true") {
				c.report(Error, "ldconfig may fail: write || /usr/bin/true behind it")
			}
		case it.Kind == KindFile:
			c.pkgsrcFile(items, i)
		}
	}
	for i := range c.doc.Lines {
		c.line = i + 1
		switch word := c.doc.Lines[i].Word; {
		case word == "@dirrm":
			c.report(Warning, "@dirrm is obsolete: directories go when they are empty")
		case word != "" && !pkgsrcWords[word]:
			c.report(Warning, "unknown command %s", word)
		}
	}
}

func (c *checker) pkgsrcFile(items []Item, i int) {
	it := &items[i]
	if c0 := it.Path[0]; c0 != 0 && !isAlnum(c0) { // 0 begins a variable
		c.report(Error, "%q: a path begins with a letter, a digit or a variable", it.Path)
		return
	}
	c.paths(it, pkgsrcRules)
	if !isASCII(it.Path) && (i == 0 || items[i-1].Kind != KindComment && isASCII(items[i-1].Path)) {
		c.report(Warning, "%q is not ASCII: say in a comment before it that it is meant so", it.Path)
	}
	if base, ok := strings.CutSuffix(it.Path, ".la"); ok {
		for _, suffix := range []string{".a", ".so"} {
			if line := c.files[c.key(base+suffix)]; line > 0 {
				c.line = line
				c.report(Warning, "%s is listed by its libtool archive", base+suffix)
			}
		}
		c.line = it.Line
	}
	c.pkgsrcManPage(it)
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
	switch {
	case !strings.ContainsAny(section[:1], "123456789ln"):
		c.report(Warning, "%s: unknown section %s", it.Path, section)
	case kind == "cat":
		page := "man/man" + section + "/" + m[3] + "." + section
		if c.files[c.key(page)] == 0 {
			c.report(Warning, "%s: a formatted page without its source %s", it.Path, page)
		}
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
		case it.Kind != KindFile || strings.Contains(it.Path, "\x00"):
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

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
