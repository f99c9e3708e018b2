package dialect

import (
	"regexp"
	"strings"
)

// knownVariables are what a tree's framework defines, with the pattern of the
// value in the paths of a capture. The package's own name and version are put
// for NAME and VERSION.
var knownVariables = map[string][]struct {
	name    string
	pattern string
	dir     bool
}{
	"pkgsrc": {
		{"PKGNAME", `NAME-VERSION`, false},
		{"PKGVERSION", `VERSION`, false},
		{"PYSITELIB", `^lib/python[0-9.]+/site-packages`, true},
		{"EGG_INFODIR", `/site-packages/([^/]+\.egg-info)/`, false},
		{"EGG_FILE", `/site-packages/([^/]+\.egg-info)$`, false},
		{"WHEEL_INFODIR", `/site-packages/([^/]+\.dist-info)/`, false},
		{"PYLIB", `^lib/python[0-9]+\.[0-9]+`, true},
		{"PYVERSSUFFIX", `python([0-9]+\.[0-9]+)`, false},
		{"GEM_HOME", `^lib/ruby/gems/[0-9.]+`, true},
		{"GEM_LIBDIR", `^(lib/ruby/gems/[0-9.]+/gems/[^/]+)/`, true},
		{"GEM_DOCDIR", `^(lib/ruby/gems/[0-9.]+/doc/[^/]+)/`, true},
		{"GEM_EXTSDIR", `^(lib/ruby/gems/[0-9.]+/extensions/[^/]+/[0-9.]+/[^/]+)/`, true},
		{"GEM_NAME", gemName, false},
		{"RUBY_VENDORLIB", `^lib/ruby/vendor_ruby/[0-9]+\.[0-9.]+`, true},
		{"RUBY_SITELIB", `^lib/ruby/site_ruby/[0-9]+\.[0-9.]+`, true},
		{"RUBY_LIB", `^lib/ruby/[0-9]+\.[0-9.]+`, true},
		{"RUBY_VER_DIR", `^lib/ruby/(?:gems/|site_ruby/|vendor_ruby/)?([0-9]+\.[0-9]+\.[0-9]+)/`, false},
		{"PERL5_SUB_INSTALLVENDORLIB", `^lib/perl5/vendor_perl/[0-9.]+`, true},
		{"PERL5_SUB_INSTALLVENDORARCH", `^(lib/perl5/vendor_perl/[0-9.]+/[^/]+-[^/]+)/`, true},
		{"MACHINE_GNU_PLATFORM", triple, false},
	},
	"freebsd": {
		{"DATADIR", `share/NAME`, true},
		{"DOCSDIR", `share/doc/NAME`, true},
		{"EXAMPLESDIR", `share/examples/NAME`, true},
		{"ETCDIR", `etc/NAME`, true},
		{"PORTVERSION", `VERSION`, false},
		{"PYTHON_SITELIBDIR", `^lib/python[0-9.]+/site-packages`, true},
		{"PYTHON_LIBDIR", `^lib/python[0-9]+\.[0-9]+`, true},
		{"PYTHON_EXT_SUFFIX", `(\.cpython-[0-9]+)`, false},
		{"PYTHON_VER", `python([0-9]+\.[0-9]+)`, false},
		{"PYTHON_TAG", `(cpython-[0-9]+)`, false},
		{"SITE_PERL", `^lib/perl5/site_perl`, true},
		{"SITE_ARCH", `^lib/perl5/site_perl/mach/[0-9.]+`, true},
		{"PERL5_MAN1", `^lib/perl5/site_perl/man/man1`, true},
		{"PERL5_MAN3", `^lib/perl5/site_perl/man/man3`, true},
		{"RUBY_SITELIBDIR", `^lib/ruby/site_ruby/[0-9]+\.[0-9]+`, true},
		{"RUBY_GEMDIR", `^lib/ruby/gems/[0-9.]+`, true},
		{"CONFIGURE_TARGET", triple, false},
	},
	"openbsd": {
		{"DISTNAME", gemName, false},
		{"VERSION", `VERSION`, false},
		{"MODPY_EGG_VERSION", `/site-packages/[^/]+?-([0-9][^/-]*)(?:-py[0-9.]+)?\.(?:egg|dist)-info`, false},
		{"MODPY_VERSION", `python([0-9]+\.[0-9]+)`, false},
		{"GEM_LIB", `^lib/ruby/gems/[0-9.]+`, true},
		{"P5SITE", `^libdata/perl5/site_perl`, true},
		{"P5ARCH", `^libdata/perl5/site_perl/[a-z0-9]+-openbsd`, true},
	},
}

// gemName is a gem with its version, wherever RubyGems writes it.
const gemName = `^lib/ruby/gems/[0-9.]+/(?:gems|cache|specifications|doc|build_info|extensions/[^/]+/[^/]+)/([^/]+?)(?:\.gem|\.gemspec|\.info|/.*)?$`

// triple is the canonical name of a system, as a whole component of a path.
const triple = `(?:^|/)((?:x86_64|i[3-6]86|aarch64|arm[a-z0-9]*|powerpc[a-z0-9]*|riscv64|mips[a-z0-9]*|sparc64)-[a-z0-9_]*-(?:linux-)?(?:gnu|musl|netbsd|freebsd|openbsd|dragonfly|darwin|solaris|mingw|cygwin)[a-z0-9_.]*)(?:/|$)`

// VariablesOf finds the values that the variables of a tree have in the lists of
// one or two captures. Those that do not occur are left out.
func VariablesOf(tree string, ports ...*Port) []Variable {
	var vars []Variable
	for _, known := range knownVariables[tree] {
		v := Variable{Name: known.name, Dir: known.dir}
		if !strings.Contains(known.pattern, "NAME") && !strings.Contains(known.pattern, "VERSION") {
			v.place = regexp.MustCompile(known.pattern)
		}
		for _, port := range ports {
			if value := port.valueOf(known.pattern); value != "" {
				v.Values = append(v.Values, value)
			}
		}
		if len(v.Values) == len(ports) {
			vars = append(vars, v)
		}
	}
	return vars
}

// valueOf returns the value of a pattern: the text itself where the package's
// name or version stands in it, or else its first match in a path.
func (p *Port) valueOf(pattern string) string {
	own := strings.NewReplacer("NAME", p.list.Name, "VERSION", p.list.Version)
	if text := own.Replace(pattern); text != pattern {
		if p.list.Name == "" || p.list.Version == "" {
			return ""
		}
		return text
	}
	re := regexp.MustCompile(pattern)
	for i := range p.Items {
		if m := re.FindStringSubmatch(p.Items[i].Path); m != nil {
			return m[len(m)-1]
		}
	}
	return ""
}
