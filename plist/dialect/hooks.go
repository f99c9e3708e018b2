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
	name            *regexp.Regexp
	mimeTypes       bool   // only for a desktop file that opens some
	pkgsrc, freebsd string // lines of the Makefile
	openbsd         string // a @tag
	framework       bool   // FreeBSD's framework lists the file itself
}

// hookRules are those of pkglint, portlint and portcheck, and of the Makefile
// fragments that they name.
var hookRules = []hookRule{
	{name: regexp.MustCompile(`(^|/)share/applications/[^/]+\.desktop$`), mimeTypes: true, pkgsrc: `.include "../../sysutils/desktop-file-utils/desktopdb.mk"`, freebsd: "USES+= desktop-file-utils"},
	{name: regexp.MustCompile(`(^|/)share/applications/(.*/)?[^/]+\.desktop$`), openbsd: "update-desktop-database"},
	{name: regexp.MustCompile(`(^|/)share/mime/packages/[^/]+\.xml$`), pkgsrc: `.include "../../databases/shared-mime-info/mimedb.mk"`, freebsd: "USES+= shared-mime-info", openbsd: "update-mime-database"},
	{name: regexp.MustCompile(`(^|/)share/icons/hicolor/.*/`), pkgsrc: `.include "../../graphics/hicolor-icon-theme/buildlink3.mk"`},
	{name: regexp.MustCompile(`(^|/)share/icons/gnome/.*/`), pkgsrc: `.include "../../graphics/gnome-icon-theme/buildlink3.mk"`},
	{name: regexp.MustCompile(`(^|/)share/icons/[^/]+/index\.theme$`), pkgsrc: "ICON_THEMES= yes"},
	{name: regexp.MustCompile(`(^|/)share/icons/(?P<theme>[^/]+)/(.+/|index\.theme$)`), freebsd: "INSTALLS_ICONS= yes", openbsd: "gtk-update-icon-cache %D/share/icons/$(theme)"},
	{name: regexp.MustCompile(`(^|/)share/glib-2\.0/schemas/[^/]+\.xml$`), pkgsrc: `.include "../../devel/glib2/schemas.mk"`, freebsd: "GLIB_SCHEMAS+= $(base)", openbsd: "glib-compile-schemas", framework: true},
	{name: regexp.MustCompile(`(^|/)share/GConf/schemas/[^/]+\.schemas$`), pkgsrc: "GCONF_SCHEMAS+= $(base)"},
	{name: regexp.MustCompile(`(^|/)etc/gconf/schemas/[^/]+\.schemas$`), freebsd: "GCONF_SCHEMAS+= $(base)", framework: true},
	{name: regexp.MustCompile(`(^|/)lib/gdk-pixbuf-2\.0/[^/]+/loaders/[^/]+\.so$`), pkgsrc: `.include "../../graphics/gdk-pixbuf2/loaders.mk"`, openbsd: "update-gdk-pixbuf"},
	{name: regexp.MustCompile(`(^|/)lib/gtk-2\.0/[^/]+/immodules/[^/]+\.so$`), pkgsrc: `.include "../../x11/gtk2/immodules.mk"`, openbsd: "gtk-query-immodules-2.0"},
	{name: regexp.MustCompile(`(^|/)lib/gtk-3\.0/[^/]+/immodules/[^/]+\.so$`), pkgsrc: `.include "../../x11/gtk3/immodules.mk"`, openbsd: "gtk-query-immodules-3.0"},
	{name: regexp.MustCompile(`(^|/)share/omf/.*\.omf$`), pkgsrc: `.include "../../mk/omf-scrollkeeper.mk"`, freebsd: "INSTALLS_OMF= yes"},
	{name: regexp.MustCompile(`(^|/)share/texmf-local/`), pkgsrc: `.include "../../print/kpathsea/texmf.mk"`, freebsd: "USE_TEX= texhash", openbsd: "mktexlsr-local"},
	{name: regexp.MustCompile(`(^|/)share/locale/.*\.mo$`), pkgsrc: "USE_PKGLOCALEDIR= yes", freebsd: "USES+= gettext-runtime"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(ttf|ttc|otf)$`), pkgsrc: "FONTS_DIRS.ttf+= $(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pcf|pcf\.gz|bdf)$`), pkgsrc: "FONTS_DIRS.x11+= $(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)share/fonts/.*\.(pfa|pfb)$`), pkgsrc: "FONTS_DIRS.type1+= $(dir)", freebsd: "USES+= fonts"},
	{name: regexp.MustCompile(`(^|/)lib/python[0-9.]+/site-packages/.*\.egg-info(/|$)`), pkgsrc: `.include "../../lang/python/egg.mk"`, freebsd: "USES+= python"},
	{name: regexp.MustCompile(`(^|/)lib/python[0-9.]+/site-packages/.*\.dist-info/`), pkgsrc: `.include "../../lang/python/wheel.mk"`, freebsd: "USES+= python"},
	{name: regexp.MustCompile(`(^|/)lib/ruby/gems/[0-9.]+/gems/`), pkgsrc: `.include "../../lang/ruby/gem.mk"`, freebsd: "USES+= gem"},
	{name: regexp.MustCompile(`\.la$`), pkgsrc: "USE_LIBTOOL= yes", freebsd: "USES+= libtool"},
	{name: regexp.MustCompile(`(^|/)lib/pkgconfig/[^/]+\.pc$`), freebsd: "USES+= pathfix"},
	{name: regexp.MustCompile(`(^|/)lib/lib[^/]+\.so(\.[0-9.]+)?$`), freebsd: "USE_LDCONFIG= yes"},
	{name: regexp.MustCompile(`(^|/)boot/modules/[^/]+\.ko$`), freebsd: "USES+= kmod"},
	{name: regexp.MustCompile(`(^|/)lib/ghc-[^/]+/package\.conf\.d/`), openbsd: "ghc-pkg-recache"},
}

// tagOf is the tag that OpenBSD's list wants for a file; "" if none.
func (rule *hookRule) tagOf(name string) string {
	if rule.openbsd == "" {
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

// hooks declares what a file needs besides being listed, and reports whether the
// tree's framework lists it.
func (p *porter) hooks(name string, fact *Fact) (framework bool) {
	for i := range hookRules {
		rule := &hookRules[i]
		if !rule.name.MatchString(name) || rule.mimeTypes && len(fact.MIMETypes) == 0 {
			continue
		}
		if tag := rule.tagOf(name); p.tree == "openbsd" && tag != "" && !p.once[tag] {
			p.once[tag] = true
			p.tags = append(p.tags, Item{Kind: KindTag, Text: tag})
		}
		line := map[string]string{"pkgsrc": rule.pkgsrc, "freebsd": rule.freebsd}[p.tree]
		if line != "" {
			p.makefile(strings.NewReplacer("$(dir)", Var("PREFIX")+"/"+path.Dir(name), "$(base)", path.Base(name)).Replace(line))
			framework = framework || rule.framework && p.tree == "freebsd"
		}
	}
	return framework
}
