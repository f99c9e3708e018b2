package dialect

import "strings"

// freebsdRules are portlint's, but for what it only asks the porter to think of, and
// for names that only look like a page or an info file where the framework has none.
// Its rules for @owner, @group and @(...) never apply: an earlier one takes the line.
var freebsdRules = rules([][4]string{
	{"/you/", `^/you/have/to/check/what/makeplist/gives/you$`, "error", "makeplist wants its list checked"},
	{"etc/", `^etc/rc\.d/`, "warning", "rc.d scripts are installed by USE_RC_SUBR"},
	{"info/", `^(share/)?info/([^/]+/)?[^/]+\.info-[0-9]+(\.gz)?$`, "error", "a part of an info file: INFO of the first one is enough"},
	{"info/", `^(share/)?info/([^/]+/)?[^/]+\.info(\.gz)?$`, "warning", "info files are listed by INFO"},
	{"lib/pkgconfig/", `^lib/pkgconfig/[^/]+\.pc$`, "error", "USES=pathfix has these in libdata/pkgconfig"},
	{"lib/perl5/site_perl", "^lib/perl5/site_perl/mach/(\x00PERL_VER\x00|[0-9.]+)/", "warning", "the directory is %%SITE_ARCH%%"},
	{"lib/perl5/site_perl", `^lib/perl5/site_perl(/|$)`, "warning", "the directory is %%SITE_PERL%%"},
	{"-portbld-freebsd", `[a-z0-9_]+-portbld-freebsd[0-9]+\.[0-9]+`, "warning", "the system is %%CONFIGURE_TARGET%%"},
	{".DS_Store", `(^|/)\.DS_Store$`, "warning", "a left-over of macOS"},
	{"man/", `^(share/)?man/([^/]+/)?man[1-9ln]/[^/]+\.[1-9ln][a-zA-Z]*$`, "warning", "manual pages are compressed: write .gz"},
	{"gconf/schemas/", `^etc/gconf/schemas/.*\.schemas$`, "error", "GCONF_SCHEMAS lists it"},
	{"%gconf", `/%gconf.*\.xml$`, "error", "GCONF_SCHEMAS lists it"},
	{".core", `\.core$`, "warning", "daily(8) may remove it"},
	{"a.out", `/a\.out$`, "warning", "daily(8) may remove it"},
	{".packlist", `/auto/.*/\.packlist$`, "error", "the list of a Perl module"}, // perl's own is above
})

// freebsdWords are pkg(8)'s own keywords and those of ports/Keywords, which are
// current; freebsdObsolete those that were.
var (
	freebsdWords = wordSet("@ @cwd @comment @config @dir @include @mode @owner @group @override_prefix @var @for @end @name " +
		"@fc @fontsdir @info @sample @shell @xmlcatmgr @preexec @postexec @preunexec @postunexec @kld @ldconfig @ldconfig-linux @ldconfig32 " +
		"@rmtry @rmempty @touch @fmtutil @terminfo @javavm @desktop-file-utils @shared-mime-info @glib-schemas @gconf @ocamlfind @texhash")
	freebsdObsolete = map[string]string{
		"@dirrm": "directories go with the files in them", "@dirrmtry": "directories go with the files in them",
		"@exec": "write @postexec or @preexec", "@unexec": "write @preunexec or @postunexec",
		"@stopdaemon": "rc.d scripts do it", "@cd": "write @cwd",
	}
)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

func checkFreeBSD(c *checker, items []Item) {
	if len(items) == 0 {
		c.line = 1
		c.report(Error, "the list is empty")
	}
	c.freebsdLines()
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindBlank:
			c.report(Warning, "blank line")
		case it.Kind == KindFile && it.Type != TypeInfo: // @info is how the framework lists one itself
			c.paths(it, freebsdRules)
			c.freebsdDirectory(it)
		case it.Kind == KindDir:
			c.freebsdDirectory(it)
		}
	}
}

// freebsdLines checks keywords and their arguments.
func (c *checker) freebsdLines() {
	special, files := false, 0
	for i := range c.doc.Lines {
		c.line = i + 1
		l := &c.doc.Lines[i]
		special = special || l.holds("%") || l.holds("@") || len(l.When) > 0
		if l.Word != "" {
			c.freebsdKeyword(l)
		} else if l.Arg != "" {
			files++
		}
		if l.Lead != "" && l.Arg != "" {
			c.report(Warning, "white space at the start of the line")
		}
	}
	if c.line = 0; !special && 0 < files && files < freebsdFew {
		c.report(Note, "so few files go into PLIST_FILES")
	}
}

// freebsdFew is how many files portlint wants a list for.
const freebsdFew = 6

func (c *checker) freebsdKeyword(l *Line) {
	switch known := freebsdWords[l.Word]; {
	case freebsdObsolete[l.Word] != "":
		c.report(Warning, "%s is obsolete: %s", l.Word, freebsdObsolete[l.Word])
	case !known && (c.makefile == nil || !c.makefile.keywords[l.Word]):
		c.report(Error, "unknown keyword %s", l.Word)
	case l.Word == "@cwd":
		c.report(Warning, "@cwd is obsolete: write absolute names")
	case l.Word == "@comment" && isID(l.Arg, "$FreeBSD"):
		c.report(Warning, "the line of version control is obsolete: the tree has git")
	case l.Word == "@sample":
		if why := badSample(quotedWords(freebsdSpelling.read(l.Arg))); why != "" {
			c.report(Error, "@sample %s", why)
		}
	}
	if freebsdRun[l.Word] {
		for _, run := range freebsdHooks {
			if strings.Contains(l.Arg, run[0]) {
				c.report(Warning, "%s runs %s", run[1], run[0])
			}
		}
	}
}

// badSample says why the keyword takes no such names, or nothing (Keywords/sample.ucl).
func badSample(names []string) string {
	switch {
	case len(names) < 1 || len(names) > 2:
		return "wants one name, or two"
	case len(names) == 2 && names[0] == names[1]:
		return "wants two names that differ"
	case len(names) == 1 && !strings.HasSuffix(names[0], ".sample") && !strings.HasSuffix(names[0], "\x00"): // what a variable ends in is not known
		return "wants a name that ends in .sample, or two"
	}
	return ""
}

// freebsdHooks are programs that the framework runs, and the variable that it does so for.
var (
	freebsdRun   = wordSet("@exec @unexec @preexec @postexec @preunexec @postunexec")
	freebsdHooks = [][2]string{{"ldconfig", "USE_LDCONFIG"}, {"scrollkeeper", "INSTALLS_OMF"}}
)

// optionalDirs are the directories that the framework leaves out, and by what
// condition.
var optionalDirs = map[string]string{
	"DOCSDIR": "PORTDOCS", "RUBY_DOCDIR": "PORTDOCS", "RUBY_MODDOCDIR": "PORTDOCS",
	"EXAMPLESDIR": "PORTEXAMPLES", "RUBY_EXAMPLESDIR": "PORTEXAMPLES", "RUBY_MODEXAMPLESDIR": "PORTEXAMPLES",
	"DATADIR": "PORTDATA",
}

// freebsdDirectory wants the condition of a directory that the framework may leave
// out to be that directory's.
func (c *checker) freebsdDirectory(it *Item) {
	if len(it.When) != 1 || !strings.HasPrefix(it.Path, "\x00") {
		return
	}
	dir, _, _ := strings.Cut(it.Path[1:], "\x00")
	has, want := swapCase(it.When[0].Name), optionalDirs[dir]
	if want != "" && has != want && strings.HasPrefix(has, "PORT") {
		c.report(Warning, "%s: the condition of that directory is %s, not %s", it.Path, want, has)
	}
}
