package dialect

import (
	"path"
	"regexp"
	"strings"
)

// junkRules are the files that no packing list may hold, and why. The names are
// those that pkglint, check-stagedir.sh and update-plist know.
var junkRules = []struct {
	name   *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`(^|/)info/dir(\.old|\.gz)?$`), "the directory of info files is each machine's own"},
	{regexp.MustCompile(`(^|/)perllocal\.pod$`), "each machine's perl keeps its own"},
	{regexp.MustCompile(`(^|/)icon-theme\.cache$`), "a cache of icons"},
	{regexp.MustCompile(`(^|/)applications/mimeinfo\.cache$`), "a cache of desktop files"},
	{regexp.MustCompile(`(^|/)share/mime/(XMLnamespaces|aliases|generic-icons|globs2?|icons|magic|mime\.cache|subclasses|treemagic|types|version)$`), "a cache of MIME types"},
	{regexp.MustCompile(`(^|/)fonts/.*/(fonts\.(dir|scale|cache-1)|encodings\.dir|\.uuid)$`), "an index of fonts"},
	{regexp.MustCompile(`(^|/)(gschemas\.compiled|giomodule\.cache|loaders\.cache|immodules\.cache)$`), "a cache of GLib or GTK"},
	{regexp.MustCompile(`(^|/)ls-R$`), "an index of TeX files"},
	{regexp.MustCompile(`(^|/)(charset|locale)\.alias$`), "belongs to libiconv or gettext"},
	{regexp.MustCompile(`(^|/)man/(whatis|mandoc\.db)$`), "an index of manual pages"},
	{regexp.MustCompile(`(^|/)ld\.so\.cache$`), "a cache of the dynamic linker"},
	{regexp.MustCompile(`(^|/)(libdata/scrollkeeper|scrollkeeper)/`), "an index of documents"},
	{regexp.MustCompile(`(^|/)etc/gconf/gconf\.xml\.defaults/`), "a database of GConf"},
	{regexp.MustCompile(`(\.orig|\.rej|\.bak|~|\.swp)$|(^|/)(\.DS_Store|\.cvsignore|\.gitignore|\.gitkeep|\.gitattributes|\.#[^/]*)$`), "a left-over of an editor or of patch(1)"},
	{regexp.MustCompile(`(^|/)(CVS|\.git|\.svn|\.hg)(/|$)`), "a left-over of version control"},
}

// junk says why a path does not belong into a list, or nothing.
func (p *porter) junk(pl *place, fact *Fact) string {
	if fact.Generated != "" {
		return fact.Generated
	}
	if path.Base(pl.path) == ".packlist" && !p.packlists {
		return "the list of a Perl module"
	}
	slashed := pl.path
	if pl.Mode.IsDir() {
		slashed = strings.TrimSuffix(slashed, "/") + "/"
	}
	for _, rule := range junkRules {
		if rule.name.MatchString(slashed) {
			return rule.reason
		}
	}
	return ""
}
