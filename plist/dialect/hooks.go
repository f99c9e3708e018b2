package dialect

import (
	"path"
	"regexp"
	"strings"
)

// A hookRule is about files that want something declared or run besides being
// listed. In its lines "$(dir)", "$(base)" and "$(theme)" stand for the file's
// directory and name and for the icon theme it belongs to.
type hookRule struct {
	part            string // that all these names have: quicker to find
	name            *regexp.Regexp
	mimeTypes       bool   // only for a desktop file that opens some
	pkgsrc, freebsd string // lines of the Makefile
	openbsd         string // a @tag
	framework       bool   // FreeBSD's framework lists the file itself

	// missing is how bad the tree's own check takes it if a line of the Makefile is
	// missing; "" if it does not.
	missing Severity
}

// hookRules are those of pkglint, portlint and portcheck, and of the Makefile
// fragments that they name.
var hookRules = []hookRule{
	{part: "share/applications/", name: regexp.MustCompile(`(^|/)share/applications/[^/]+\.desktop$`), mimeTypes: true, pkgsrc: `.include "../../sysutils/desktop-file-utils/desktopdb.mk"`, freebsd: "USES+= desktop-file-utils"},
	{part: "share/applications/", name: regexp.MustCompile(`(^|/)share/applications/(.*/)?[^/]+\.desktop$`), openbsd: "update-desktop-database"},
	{part: "share/mime/packages/", name: regexp.MustCompile(`(^|/)share/mime/packages/[^/]+\.xml$`), pkgsrc: `.include "../../databases/shared-mime-info/mimedb.mk"`, freebsd: "USES+= shared-mime-info", openbsd: "update-mime-database"},
	{part: "share/icons/hicolor/", name: regexp.MustCompile(`(^|/)share/icons/hicolor/.*/`), pkgsrc: `.include "../../graphics/hicolor-icon-theme/buildlink3.mk"`, missing: Error},
	{part: "share/icons/gnome/", name: regexp.MustCompile(`(^|/)share/icons/gnome/.*/`), pkgsrc: `.include "../../graphics/gnome-icon-theme/buildlink3.mk"`, missing: Error},
	{part: "share/icons/", name: regexp.MustCompile(`(^|/)share/icons/[^/]+/index\.theme$`), pkgsrc: "ICON_THEMES= yes", missing: Warning},
	{part: "share/icons/", name: regexp.MustCompile(`(^|/)share/icons/(?P<theme>[^/]+)/(.+/|index\.theme$)`), freebsd: "INSTALLS_ICONS= yes", openbsd: "gtk-update-icon-cache %D/share/icons/$(theme)"},
	{part: "share/glib-2.0/schemas/", name: regexp.MustCompile(`(^|/)share/glib-2\.0/schemas/[^/]+\.xml$`), pkgsrc: `.include "../../devel/glib2/schemas.mk"`, freebsd: "GLIB_SCHEMAS+= $(base)", openbsd: "glib-compile-schemas", framework: true},
	{part: "share/GConf/schemas/", name: regexp.MustCompile(`(^|/)share/GConf/schemas/[^/]+\.schemas$`), pkgsrc: "GCONF_SCHEMAS+= $(base)"},
	{part: "etc/gconf/schemas/", name: regexp.MustCompile(`(^|/)etc/gconf/schemas/[^/]+\.schemas$`), freebsd: "GCONF_SCHEMAS+= $(base)", framework: true},
	{part: "lib/gdk-pixbuf-2.0/", name: regexp.MustCompile(`(^|/)lib/gdk-pixbuf-2\.0/[^/]+/loaders/[^/]+\.so$`), pkgsrc: `.include "../../graphics/gdk-pixbuf2/loaders.mk"`, openbsd: "update-gdk-pixbuf"},
	{part: "lib/gtk-2.0/", name: regexp.MustCompile(`(^|/)lib/gtk-2\.0/[^/]+/immodules/[^/]+\.so$`), pkgsrc: `.include "../../x11/gtk2/immodules.mk"`, openbsd: "gtk-query-immodules-2.0"},
	{part: "lib/gtk-3.0/", name: regexp.MustCompile(`(^|/)lib/gtk-3\.0/[^/]+/immodules/[^/]+\.so$`), pkgsrc: `.include "../../x11/gtk3/immodules.mk"`, openbsd: "gtk-query-immodules-3.0"},
	{part: "share/omf/", name: regexp.MustCompile(`(^|/)share/omf/.*\.omf$`), pkgsrc: `.include "../../mk/omf-scrollkeeper.mk"`, freebsd: "INSTALLS_OMF= yes", missing: Error},
	{part: "share/texmf-local/", name: regexp.MustCompile(`(^|/)share/texmf-local/`), pkgsrc: `.include "../../print/kpathsea/texmf.mk"`, freebsd: "USE_TEX= texhash", openbsd: "mktexlsr-local"},
	{part: "share/locale/", name: regexp.MustCompile(`(^|/)share/locale/.*\.mo$`), pkgsrc: "USE_PKGLOCALEDIR= yes"},
	{part: "share/locale/", name: regexp.MustCompile(`(^|/)share/locale/.*\.mo$`), freebsd: "USES+= gettext-runtime", missing: Warning},
	{part: "share/fonts/", name: regexp.MustCompile(`(^|/)share/fonts/.*\.(ttf|ttc|otf)$`), pkgsrc: "FONTS_DIRS.ttf+= $(dir)", freebsd: "USES+= fonts"},
	{part: "share/fonts/", name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pcf|pcf\.gz|bdf)$`), pkgsrc: "FONTS_DIRS.x11+= $(dir)", freebsd: "USES+= fonts"},
	{part: "share/fonts/", name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pfa|pfb)$`), pkgsrc: "FONTS_DIRS.type1+= $(dir)", freebsd: "USES+= fonts"},
	{part: "lib/python", name: regexp.MustCompile(`(^|/)lib/python[0-9.]+/site-packages/.*\.egg-info(/|$)`), pkgsrc: `.include "../../lang/python/egg.mk"`, freebsd: "USES+= python"},
	{part: "lib/python", name: regexp.MustCompile(`(^|/)lib/python[0-9.]+/site-packages/.*\.dist-info/`), pkgsrc: `.include "../../lang/python/wheel.mk"`, freebsd: "USES+= python"},
	{part: "lib/ruby/gems/", name: regexp.MustCompile(`(^|/)lib/ruby/gems/[0-9.]+/gems/`), pkgsrc: `.include "../../lang/ruby/gem.mk"`, freebsd: "USES+= gem"},
	{part: ".la", name: regexp.MustCompile(`\.la$`), pkgsrc: "USE_LIBTOOL= yes", freebsd: "USES+= libtool", missing: Warning},
	{part: "lib/pkgconfig/", name: regexp.MustCompile(`(^|/)lib/pkgconfig/[^/]+\.pc$`), freebsd: "USES+= pathfix"},
	{part: "lib/lib", name: regexp.MustCompile(`(^|/)lib/lib[^/]+\.so(\.[0-9.]+)?$`), freebsd: "USE_LDCONFIG= yes"},
	{part: "boot/modules/", name: regexp.MustCompile(`(^|/)boot/modules/[^/]+\.ko$`), freebsd: "USES+= kmod"},
	{part: "lib/ghc-", name: regexp.MustCompile(`(^|/)lib/ghc-[^/]+/package\.conf\.d/`), openbsd: "ghc-pkg-recache"},
}

func (rule *hookRule) matches(name string) bool {
	return strings.Contains(name, rule.part) && rule.name.MatchString(name)
}

// tagOf is the tag that OpenBSD's list wants for a file; "" if none.
func (rule *hookRule) tagOf(name string) string {
	if rule.openbsd == "" || !strings.Contains(name, rule.part) {
		return ""
	}
	m := rule.name.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	theme := ""
	if i := rule.name.SubexpIndex("theme"); i >= 0 {
		theme = m[i]
	}
	return strings.ReplaceAll(rule.openbsd, "$(theme)", theme)
}

// line is what the Makefile of a tree wants for a file; "" if nothing.
func (rule *hookRule) line(tree, name string) string {
	line := map[string]string{"pkgsrc": rule.pkgsrc, "freebsd": rule.freebsd}[tree]
	if line == "" || !rule.matches(name) {
		return ""
	}
	return strings.NewReplacer("$(dir)", Var("PREFIX")+"/"+path.Dir(name), "$(base)", path.Base(name)).Replace(line)
}

// hooks declares what a file needs besides being listed, and reports whether the
// tree's framework lists it.
func (p *porter) hooks(name string, fact *Fact) (framework bool) {
	for i := range hookRules {
		rule := &hookRules[i]
		if !rule.matches(name) || rule.mimeTypes && len(fact.MIMETypes) == 0 {
			continue
		}
		if tag := rule.tagOf(name); p.tree == "openbsd" && tag != "" && !p.once[tag] {
			p.once[tag] = true
			p.tags = append(p.tags, Item{Kind: KindTag, Text: tag})
		}
		if line := rule.line(p.tree, name); line != "" {
			p.makefile(line)
			framework = framework || rule.framework && p.tree == "freebsd"
		}
	}
	return framework
}
