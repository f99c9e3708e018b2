package dialect

import "strings"

var freebsdRules = rules([][4]string{
	{"/you/", `^/you/have/to/check/what/makeplist/gives/you$`, "error", "makeplist wants its list checked"},
	{"etc/", `^etc/rc\.d/`, "error", "rc.d scripts are installed by USE_RC_SUBR"},
	{"man/", `^(share/)?man/([^/]+/)?man[1-9ln]/[^/]+\.[1-9ln][a-zA-Z]*$`, "warning", "manual pages are compressed: write .gz"},
	{"gconf/schemas/", `^etc/gconf/schemas/.*\.schemas$`, "error", "GCONF_SCHEMAS lists it"},
	{".core", `\.core$`, "warning", "daily(8) may remove it"},
	{"a.out", `/a\.out$`, "warning", "daily(8) may remove it"},
	{".packlist", `(^|/)\.packlist$`, "error", "the list of a Perl module"},
})

// freebsdWords are pkg(8)'s own keywords and those of ports/Keywords, which are
// current; freebsdObsolete those that were.
var (
	freebsdWords = wordSet("@ @cwd @comment @config @dir @include @mode @owner @group @override_prefix @var @for @end @name " +
		"@fc @fontsdir @info @sample @shell @xmlcatmgr @preexec @postexec @preunexec @postunexec @kld @ldconfig @ldconfig-linux " +
		"@rmtry @rmempty @touch @fmtutil @terminfo @javavm @desktop-file-utils @glib-schemas @gconf @ocamlfind @texhash")
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
	for i := range c.doc.Lines {
		c.line = i + 1
		l := &c.doc.Lines[i]
		switch {
		case freebsdObsolete[l.Word] != "":
			c.report(Warning, "%s is obsolete: %s", l.Word, freebsdObsolete[l.Word])
		case l.Word != "" && !freebsdWords[l.Word] && (c.makefile == nil || !c.makefile.keywords[l.Word]):
			c.report(Error, "unknown keyword %s", l.Word)
		case l.Lead != "" && l.Arg != "":
			c.report(Warning, "white space at the start of the line")
		}
	}
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindFile:
			c.paths(it, freebsdRules)
		}
	}
}
