package dialect

import (
	"path"
	"regexp"
	"strings"
)

// hookRules are the files whose installation wants something run, or declared.
var hookRules = []struct {
	name             *regexp.Regexp
	pkgsrc, freebsd  string // lines of the Makefile
	openbsd          string // a line of the list
	desktopWithTypes bool   // only for a desktop file that opens MIME types
}{
	{name: regexp.MustCompile(`(^|/)share/applications/[^/]+\.desktop$`), desktopWithTypes: true, pkgsrc: `.include "../../sysutils/desktop-file-utils/desktopdb.mk"`, freebsd: "USES+= desktop-file-utils"},
	{name: regexp.MustCompile(`(^|/)share/applications/[^/]+\.desktop$`), openbsd: "update-desktop-database"},
	{name: regexp.MustCompile(`(^|/)share/mime/packages/[^/]+\.xml$`), pkgsrc: `.include "../../databases/shared-mime-info/mimedb.mk"`, freebsd: "USES+= shared-mime-info", openbsd: "update-mime-database"},
	{name: regexp.MustCompile(`(^|/)share/icons/hicolor/.*/`), pkgsrc: `.include "../../graphics/hicolor-icon-theme/buildlink3.mk"`, freebsd: "INSTALLS_ICONS= yes", openbsd: "gtk-update-icon-cache %D/share/icons/hicolor"},
	{name: regexp.MustCompile(`(^|/)share/glib-2\.0/schemas/[^/]+\.xml$`), pkgsrc: `.include "../../devel/glib2/schemas.mk"`, freebsd: "USES+= gnome", openbsd: "glib-compile-schemas"},
	{name: regexp.MustCompile(`(^|/)share/locale/.*\.mo$`), pkgsrc: "USE_PKGLOCALEDIR= yes", freebsd: "USES+= gettext-runtime"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(ttf|ttc)$`), pkgsrc: "FONTS_DIRS.ttf+= " + "$(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pcf|pcf\.gz|bdf)$`), pkgsrc: "FONTS_DIRS.x11+= " + "$(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pfa|pfb)$`), pkgsrc: "FONTS_DIRS.type1+= " + "$(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)lib/python[0-9.]+/site-packages/.*\.egg-info(/|$)`), pkgsrc: `.include "../../lang/python/egg.mk"`, freebsd: "USES+= python"},
	{name: regexp.MustCompile(`\.la$`), pkgsrc: "USE_LIBTOOL= yes", freebsd: "USES+= libtool"},
	{name: regexp.MustCompile(`(^|/)lib/lib[^/]+\.so\.[0-9.]+$`), freebsd: "USE_LDCONFIG= yes"},
}

// hooks declares what a file needs besides being listed.
func (p *porter) hooks(name string, fact *Fact) {
	if p.tree == "pkgsrc" && fact.Type == TypeInfo {
		p.makefile("INFO_FILES= yes")
	}
	for _, rule := range hookRules {
		if !rule.name.MatchString(name) || rule.desktopWithTypes && len(fact.MIMETypes) == 0 {
			continue
		}
		line := map[string]string{"pkgsrc": rule.pkgsrc, "freebsd": rule.freebsd}[p.tree]
		if line != "" {
			p.makefile(strings.ReplaceAll(line, "$(dir)", Var("PREFIX")+"/"+path.Dir(name)))
		}
		if tag := rule.openbsd; p.tree == "openbsd" && tag != "" && !p.once[tag] {
			p.once[tag] = true
			p.tags = append(p.tags, Item{Kind: KindTag, Text: tag})
		}
	}
}
