package dialect

import (
	"path"
	"regexp"
	"strings"
)

// A junkRule is about files that no packing list may hold, or that one tree's
// lists may leave out.
type junkRule struct {
	names    []string       // last components of a path
	in       *regexp.Regexp // the directory that these names are in; nil for any
	suffixes []string       // or how the last components end
	dirs     []string       // or what the path goes through, whole components
	tree     string         // the only tree whose lists leave them out: no fault where listed
	severity Severity       // of the finding
	reason   string
}

// top begins the path of a directory that there is once in a system.
const top = `^(usr/(local/|pkg/)?)?`

// junkRules have the names that pkglint and portlint mind, that print-PLIST,
// check-stagedir.sh and update-plist leave out, and where they do.
var junkRules = []junkRule{
	{names: []string{"dir", "dir.old", "dir.gz"}, in: regexp.MustCompile(top + `(share/)?info$`), severity: Error, reason: "the directory of info files is each machine's own"},
	{names: []string{"perllocal.pod"}, severity: Warning, reason: "each machine's perl keeps its own"},
	{names: []string{"icon-theme.cache"}, in: regexp.MustCompile(`(^|/)share/icons/[^/]+$`), severity: Error, reason: "a cache of icons"},
	{names: []string{"mimeinfo.cache"}, in: regexp.MustCompile(`(^|/)share/applications$`), severity: Warning, reason: "a cache of desktop files"},
	{
		names: []string{"XMLnamespaces", "aliases", "generic-icons", "globs", "globs2", "icons", "magic", "mime.cache", "subclasses", "treemagic", "types", "version"},
		in:    regexp.MustCompile(`(^|/)share/mime$`), severity: Warning, reason: "a cache of MIME types",
	},
	{names: []string{"fonts.dir", "fonts.scale", "fonts.cache-1", "encodings.dir", ".uuid"}, in: regexp.MustCompile(top + `(share|lib/X11|share/X11)/fonts(/|$)`), severity: Warning, reason: "an index of fonts"},
	{names: []string{"gschemas.compiled"}, in: regexp.MustCompile(`(^|/)share/glib-2\.0/schemas$`), severity: Warning, reason: "a cache of GLib"},
	{names: []string{"giomodule.cache"}, in: regexp.MustCompile(`(^|/)gio/modules$`), severity: Warning, reason: "a cache of GLib"},
	{names: []string{"loaders.cache"}, in: regexp.MustCompile(`(^|/)gdk-pixbuf-2\.0/[^/]+$`), severity: Warning, reason: "a cache of GTK"},
	{names: []string{"immodules.cache", "gtk.immodules"}, in: regexp.MustCompile(`(^|/)(gtk-[0-9.]+(/[^/]+)?)$`), severity: Warning, reason: "a cache of GTK"},
	{names: []string{"ls-R"}, in: regexp.MustCompile(`(^|/)texmf[^/]*$`), severity: Warning, reason: "an index of TeX files"},
	{names: []string{"charset.alias"}, in: regexp.MustCompile(top + `lib$`), severity: Error, reason: "belongs to libiconv"},
	{names: []string{"locale.alias"}, in: regexp.MustCompile(top + `share/locale$`), severity: Warning, reason: "belongs to gettext"},
	{names: []string{"whatis", "mandoc.db"}, in: regexp.MustCompile(`(^|/)man$`), severity: Warning, reason: "an index of manual pages"},
	{names: []string{"ld.so.cache"}, in: regexp.MustCompile(`(^|/)etc$`), severity: Warning, reason: "a cache of the dynamic linker"},
	{names: []string{".filemap", ".lock", ".depdb", ".depdblock"}, in: regexp.MustCompile(`(^|/)(pear|php)$`), severity: Warning, reason: "PEAR keeps its own"},
	{dirs: []string{"libdata/scrollkeeper"}, severity: Warning, reason: "an index of documents"},
	{dirs: []string{"etc/gconf/gconf.xml.defaults"}, severity: Warning, reason: "a database of GConf"},
	{suffixes: []string{".orig", ".rej", "~", ".swp"}, severity: Warning, reason: "a left-over of an editor or of patch(1)"},
	{dirs: []string{"CVS"}, severity: Warning, reason: "a left-over of version control"},
	{
		names: []string{".DS_Store", ".cvsignore", ".git", ".gitattributes", ".gitignore", ".gitkeep", ".gitmodules", ".svn"}, suffixes: []string{".bak"},
		dirs: []string{".git", ".svn"}, tree: "freebsd", severity: Warning, reason: "check-plist misses no left-over of version control or an editor",
	},
}

// junkNames are the rules by a last component: most paths of a long list are
// none's.
var junkNames = func() map[string][]*junkRule {
	byName := make(map[string][]*junkRule)
	for i := range junkRules {
		rule := &junkRules[i]
		for _, name := range rule.names {
			byName[name] = append(byName[name], rule)
		}
	}
	return byName
}()

// junkParts are the rules by anything else.
var junkParts = func() []*junkRule {
	var parts []*junkRule
	for i := range junkRules {
		if rule := &junkRules[i]; rule.suffixes != nil || rule.dirs != nil {
			parts = append(parts, rule)
		}
	}
	return parts
}()

// junkIn returns the rule by which lists do not hold a path, or nil.
func junkIn(name string) *junkRule {
	base := name[strings.LastIndexByte(name, '/')+1:]
	for _, rule := range junkNames[base] {
		if rule.in == nil || rule.in.MatchString(path.Dir(name)) {
			return rule
		}
	}
	for _, rule := range junkParts {
		if rule.ends(base) || rule.through(name) {
			return rule
		}
	}
	return nil
}

func (rule *junkRule) ends(base string) bool {
	for _, suffix := range rule.suffixes {
		if strings.HasSuffix(base, suffix) {
			return true
		}
	}
	return false
}

// through reports whether a path goes through one of the rule's directories, or
// is one.
func (rule *junkRule) through(name string) bool {
	for _, dir := range rule.dirs {
		if strings.Contains(name, dir) && strings.Contains("/"+name+"/", "/"+dir+"/") {
			return true
		}
	}
	return false
}

// onlyLinux matches what nothing but Linux's boot and its device manager read. Of 800
// lists in three trees none has any.
var onlyLinux = regexp.MustCompile(`^(etc/init\.d|etc/rc[0-6S]\.d|(etc|usr/lib|lib)/udev/(rules|hwdb)\.d|(etc|usr/lib|lib)/modprobe\.d)/`)

// junk says why a captured path does not belong into a list, or nothing.
func (p *porter) junk(pl *place, fact *Fact) string {
	switch {
	case fact.Generated != "":
		return fact.Generated
	case path.Base(pl.path) == ".packlist" && !p.covering:
		return "the list of a Perl module"
	case onlyLinux.MatchString(pl.path) && !pl.Mode.IsDir():
		return "only Linux has a use for it"
	}
	if rule := junkIn(pl.path); rule != nil && (rule.tree == "" || rule.tree == p.tree) {
		return rule.reason
	}
	return ""
}
