package dialect

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

var openbsdRules = rules([][4]string{
	{".packlist", `(^|/)\.packlist$`, "error", "the list of a Perl module"},
	{"share/man/", `^share/man/`, "error", "manual pages belong into man"},
	{"share/info/", `^share/info/`, "error", "info files belong into info"},
	{"share/icons/", `^share/icons/[^/]+\.xpm$`, "error", "icons of no theme belong into share/pixmaps"},
	{"share/icons/", `^share/icons/[^/]+$`, "error", "icons of no theme belong into a directory of their own"},
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

// versionedLib is a library with its version written out, as ld.so(1) wants it:
// with one number it is no library that a program is linked with.
var versionedLib = regexp.MustCompile(`^lib/(?:[^/]+/)?lib([^/]+)\.so\.[0-9]+\.[0-9]+$`)

func checkOpenBSD(c *checker, items []Item) {
	if len(items) == 0 {
		c.line = 1
		c.report(Error, "the list is empty")
	}
	c.openbsdCommands()
	c.openbsdTags(items)
	below := make(map[string]int) // key of a directory -> line of the first file in it
	for i := range items {
		it := c.at(items, i)
		switch {
		case it.Kind == KindBlank:
			c.report(Warning, "blank line")
		case it.Kind == KindOther && strings.HasPrefix(it.Text, "@sample"):
			c.report(Error, "%s: no file before it", it.Text)
		case it.Kind == KindFile:
			c.openbsdFile(it)
			if dir := c.key(path.Dir(it.Path)); below[dir] == 0 {
				below[dir] = it.Line
			}
		case it.Kind == KindDir:
			if line := below[c.key(it.Path)]; line > 0 {
				c.report(Warning, "%s/ should be listed before what is in it, line %d", it.Path, line)
			}
		}
	}
}

// openbsdCommands checks the words.
func (c *checker) openbsdCommands() {
	for i := range c.doc.Lines {
		c.line = i + 1
		l := &c.doc.Lines[i]
		_, isType := openbsdTypes[l.Word]
		switch {
		case openbsdObsolete[l.Word]:
			c.report(Warning, "%s is obsolete", l.Word)
		case l.Word != "" && !isType && !openbsdWordSet[l.Word]:
			c.report(Error, "unknown command %s", l.Word)
		}
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
		c.report(Error, "%s: the version is the port's to choose: ${LIB%s_VERSION}", it.Path, m[1])
	default:
		c.report(Warning, "%s: a library without @lib", it.Path)
	}
	if it.Type == "" && strings.Contains(it.Path, "man/") && openbsdPage(it.Path) && !compression.MatchString(it.Path) {
		c.report(Warning, "%s: a manual page without @man", it.Path)
	}
}

var openbsdManDir = regexp.MustCompile(`(?:^|/)man/(?:[^/]+/)?man([^/]+)/[^/]+$`)

// openbsdPage reports whether OpenBSD's tools take a path for a manual page: its
// suffix is the directory's section (Manpage in PackingElement.pm).
func openbsdPage(name string) bool {
	name = compression.ReplaceAllString(name, "")
	m := openbsdManDir.FindStringSubmatch(name)
	return m != nil && strings.HasSuffix(name, "."+m[1])
}

// openbsdTags wants the hooks for what the list holds. They may be in another
// file if the list is one of several.
func (c *checker) openbsdTags(items []Item) {
	var said strings.Builder
	wanted := make(map[string]int) // tag -> line of the first file that wants it
	for i := range items {
		it := c.at(items, i)
		switch it.Kind {
		case KindFragment:
			return
		case KindTag, KindExec, KindOther:
			said.WriteString(it.Text + "\n")
		case KindFile:
			for k := range hookRules {
				if tag := hookRules[k].tagOf(it.Path); tag != "" && wanted[tag] == 0 {
					wanted[tag] = it.Line
				}
			}
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(wanted)) {
		if !saysHook(said.String(), tag) {
			c.line = wanted[tag]
			c.report(Error, "@tag %s is missing", tag)
		}
	}
}

// saysHook looks for a tag, or for its program as @exec once ran it, and for the
// icon theme.
func saysHook(text, tag string) bool {
	program, dir, _ := strings.Cut(tag, " ")
	for line := range strings.Lines(text) {
		if strings.Contains(line, program) && strings.Contains(line, dir) {
			return true
		}
	}
	return false
}
