package dialect

import (
	"path"
	"strings"
)

// A junkRule is about files that no packing list may hold.
type junkRule struct {
	tails    []string // last components of a path
	suffixes []string
	inside   []string // a directory's name, or several components
	reason   string
}

// junkRules have the names that pkglint, check-stagedir.sh and update-plist know.
var junkRules = []junkRule{
	{tails: []string{"info/dir", "info/dir.old", "info/dir.gz"}, reason: "the directory of info files is each machine's own"},
	{tails: []string{"perllocal.pod"}, reason: "each machine's perl keeps its own"},
	{tails: []string{"icon-theme.cache"}, reason: "a cache of icons"},
	{tails: []string{"applications/mimeinfo.cache"}, reason: "a cache of desktop files"},
	{
		tails: []string{
			"share/mime/XMLnamespaces", "share/mime/aliases", "share/mime/generic-icons", "share/mime/globs", "share/mime/globs2", "share/mime/icons",
			"share/mime/magic", "share/mime/mime.cache", "share/mime/subclasses", "share/mime/treemagic", "share/mime/types", "share/mime/version",
		},
		reason: "a cache of MIME types",
	},
	{tails: []string{"fonts.dir", "fonts.scale", "fonts.cache-1", "encodings.dir", "fonts/.uuid"}, reason: "an index of fonts"},
	{tails: []string{"gschemas.compiled", "giomodule.cache", "loaders.cache", "immodules.cache"}, reason: "a cache of GLib or GTK"},
	{tails: []string{"ls-R"}, reason: "an index of TeX files"},
	{tails: []string{"charset.alias", "locale.alias"}, reason: "belongs to libiconv or gettext"},
	{tails: []string{"man/whatis", "man/mandoc.db"}, reason: "an index of manual pages"},
	{tails: []string{"ld.so.cache"}, reason: "a cache of the dynamic linker"},
	{inside: []string{"libdata/scrollkeeper"}, reason: "an index of documents"},
	{inside: []string{"etc/gconf/gconf.xml.defaults"}, reason: "a database of GConf"},
	{
		tails: []string{".DS_Store", ".cvsignore", ".gitignore", ".gitkeep", ".gitattributes"}, suffixes: []string{".orig", ".rej", ".bak", "~", ".swp"},
		reason: "a left-over of an editor or of patch(1)",
	},
	{inside: []string{"CVS", ".git", ".svn", ".hg"}, reason: "a left-over of version control"},
}

// junkTails are the tails of all rules by their last component: most paths of a
// long list are none's.
var junkTails = func() map[string][]*junkRule {
	byBase := make(map[string][]*junkRule)
	for i := range junkRules {
		for _, tail := range junkRules[i].tails {
			byBase[path.Base(tail)] = append(byBase[path.Base(tail)], &junkRules[i])
		}
	}
	return byBase
}()

// junkReason says why no list may hold a path, or nothing.
func junkReason(name string) string {
	for _, rule := range junkTails[name[strings.LastIndexByte(name, '/')+1:]] {
		for _, tail := range rule.tails {
			if rest, ok := strings.CutSuffix(name, tail); ok && (rest == "" || rest[len(rest)-1] == '/') {
				return rule.reason
			}
		}
	}
	for i := range junkRules {
		rule := &junkRules[i]
		for _, suffix := range rule.suffixes {
			if strings.HasSuffix(name, suffix) {
				return rule.reason
			}
		}
		for _, dir := range rule.inside {
			if insideDir(name, dir) {
				return rule.reason
			}
		}
	}
	return ""
}

// insideDir reports whether whole components of name are dir.
func insideDir(name, dir string) bool {
	for at := 0; ; {
		i := strings.Index(name[at:], dir)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(dir)
		if (start == 0 || name[start-1] == '/') && (end == len(name) || name[end] == '/') {
			return true
		}
		at = start + 1
	}
}

// junk says why a captured path does not belong into a list, or nothing.
func (p *porter) junk(pl *place, fact *Fact) string {
	switch {
	case fact.Generated != "":
		return fact.Generated
	case path.Base(pl.path) == ".packlist" && !p.packlists:
		return "the list of a Perl module"
	}
	return junkReason(pl.path)
}
