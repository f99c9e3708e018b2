package dialect

import (
	"regexp"
	"strings"
)

var openbsdRules = rules([][4]string{
	{".packlist", `(^|/)\.packlist$`, "error", "the list of a Perl module"},
	{"man/", `(^|/)man/(.*/)?(man|cat)[1-9ln][^/]*/[^/]+\.(gz|bz2|xz|Z)$`, "warning", "a compressed manual page"},
	{"man/", `(^|/)man/(.*/)?cat[1-9ln][^/]*/[^/]+\.0$`, "warning", "a formatted manual page"},
	{".info-", `\.info-[0-9]+$`, "warning", "a part of an info file: @info of the first one is enough"},
	{".debug", `\.debug$`, "warning", "debugging symbols belong into a package of their own"},
})

// openbsdWords are the commands that PackingElement.pm knows; of the obsolete
// ones it warns.
var (
	openbsdWordSet = wordSet("@dir @mandir @fontdir @sample @ghost @extra @extraunexec @comment @cwd @mode @owner @group @newuser @newgroup " +
		"@exec @exec-always @exec-add @exec-update @unexec @unexec-always @unexec-update @unexec-delete @tag @define-tag @option " +
		"@conflict @pkgpath @ask-update @name @localbase @url @version @arch @depend @wantlib @libset @sha @size @ts @symlink @link @temp " +
		"@signer @digital-signature @no-default-conflict @always-update @is-branch")
	openbsdObsolete = wordSet("@endfake @sysctl @incompatibility")
)

// versionedLib is a library with its version written out.
var versionedLib = regexp.MustCompile(`(^|/)lib([^/]+)\.so\.[0-9]+(\.[0-9]+)?$`)

func checkOpenBSD(c *checker, items []Item) {
	if len(items) == 0 {
		c.line = 1
		c.report(Error, "the list is empty")
	}
	c.openbsdCommands()
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindBlank:
			c.report(Warning, "blank line")
		case it.Kind == KindOther && strings.HasPrefix(it.Text, "@sample"):
			c.report(Error, "%s: no file before it", it.Text)
		case it.Kind == KindFile:
			c.openbsdFile(it)
		case it.Kind == KindDir:
			if line := c.below[c.key(it.Path)]; line > 0 && line < it.Line {
				c.report(Warning, "%s/ should be listed before what is in it, line %d", it.Path, line)
			}
		}
	}
}

// openbsdCommands checks the words, and that what @mode and the like set is
// taken back.
func (c *checker) openbsdCommands() {
	set := make(map[string]int) // command -> line that set it
	for i := range c.doc.Lines {
		c.line = i + 1
		l := &c.doc.Lines[i]
		_, isType := openbsdTypes[l.Word]
		switch {
		case openbsdObsolete[l.Word]:
			c.report(Warning, "%s is obsolete", l.Word)
		case l.Word != "" && !isType && !openbsdWordSet[l.Word]:
			c.report(Error, "unknown command %s", l.Word)
		case l.Word == "@mode" || l.Word == "@owner" || l.Word == "@group":
			set[l.Word] = i + 1
			if l.Arg == "" {
				delete(set, l.Word)
			}
		}
	}
	for word, line := range set {
		c.line = line
		c.report(Warning, "%s holds to the end of the list", word)
	}
}

func (c *checker) openbsdFile(it *Item) {
	c.paths(it, openbsdRules)
	var m []string
	if strings.Contains(it.Path, ".so.") {
		m = versionedLib.FindStringSubmatch(it.Path)
	}
	switch {
	case m == nil:
	case it.Type == TypeLibrary:
		c.report(Error, "%s: the version is the port's to choose: ${LIB%s_VERSION}", it.Path, m[2])
	default:
		c.report(Warning, "%s: a library without @lib", it.Path)
	}
	if it.Type == "" && strings.Contains(it.Path, "man/") && manPage.MatchString(it.Path) && !compression.MatchString(it.Path) && !strings.HasSuffix(it.Path, ".0") {
		c.report(Warning, "%s: a manual page without @man", it.Path)
	}
}
