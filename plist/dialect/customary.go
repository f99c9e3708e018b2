package dialect

import (
	"path"
	"regexp"
	"strings"
)

// Where Debian's perl and Python put what is installed beside the system's own.
// No other system does; its packages lay their files elsewhere.
var (
	debianPython = regexp.MustCompile(`^lib/python([0-9]+\.[0-9]+)/dist-packages(/|$)`)
	debianPerl   = regexp.MustCompile(`^share/perl(?:5|/([0-9]+\.[0-9]+)\.[0-9]+)(/|$)`)
	debianPerlXS = regexp.MustCompile(`^lib/[a-z0-9_]+-linux-gnu[a-z0-9]*/perl5?/([0-9]+\.[0-9]+)(\.[0-9]+)?(/|$)`)
	debianPage   = regexp.MustCompile(`^(?:share/)?man/man([13])/(.+)\.([13])pm?(\.gz)?$`)
)

// perlDirs are where the modules of a tree's perl are, without and with machine
// code; "$1" is perl's version without the last number.
var perlDirs = map[string][2]string{
	"pkgsrc":  {"lib/perl5/vendor_perl/$1.0", "lib/perl5/vendor_perl/$1.0/x86_64-netbsd-thread-multi"},
	"freebsd": {"lib/perl5/site_perl", "lib/perl5/site_perl/mach/$1"},
	"openbsd": {"libdata/perl5/site_perl", "libdata/perl5/site_perl/amd64-openbsd"},
}

// archDirs are where Linux has the libraries of one machine; any other system has them
// in lib.
var archDirs = regexp.MustCompile(`^(?:lib64|lib/[a-z0-9_]+-linux-gnu[a-z0-9]*)/`)

// sharedPages is where GNU's configure puts pages if no one says --mandir and
// --infodir; pkgsrc and OpenBSD do.
var sharedPages = regexp.MustCompile(`^share/((?:man|info)(?:/.*)?)$`)

// customary returns where a tree has a file that the captured installation put
// elsewhere, because of what its configure or Debian's perl and Python think. Any
// other path stays as it is.
func (p *porter) customary(name string) string {
	if shared := sharedPages.FindStringSubmatch(name); shared != nil && p.pagesTop {
		name = shared[1]
	}
	switch {
	case strings.Contains(name, "/dist-packages"):
		return debianPython.ReplaceAllString(name, "lib/python$1/site-packages$2")
	case debianPerlXS.MatchString(name):
		return debianPerlXS.ReplaceAllString(name, perlDirs[p.tree][1]+"$3")
	case archDirs.MatchString(name):
		return p.oneLib(name)
	case !strings.Contains(name, "perl") && !strings.Contains(name, "man/man"):
		return name
	case debianPerl.MatchString(name):
		return debianPerl.ReplaceAllString(name, perlDirs[p.tree][0]+"$2")
	}
	return p.perlPage(name)
}

// oneLib puts what lies in a directory of libraries for one machine into lib, if that is
// nothing else's place, too, as that of the same library for another machine.
func (p *porter) oneLib(name string) string {
	if to := archDirs.ReplaceAllString(name, "lib/"); p.libs[to] == 1 {
		return to
	}
	return name
}

// libsOf counts what would be at each path if all directories of libraries were lib.
func libsOf(places []place) map[string]int {
	libs := make(map[string]int)
	for i := range places {
		if name := places[i].path; strings.HasPrefix(name, "lib") {
			libs[archDirs.ReplaceAllString(name, "lib/")]++
		}
	}
	return libs
}

// perlPage renames the page of a module, which Debian marks by "3pm" and "1p".
func (p *porter) perlPage(name string) string {
	m := debianPage.FindStringSubmatch(name)
	switch {
	case m == nil || m[1] != m[3]:
		return name
	case p.tree == "freebsd":
		return "lib/perl5/site_perl/man/man" + m[1] + "/" + m[2] + "." + m[1] + m[4]
	case p.tree == "openbsd" && m[1] == "3":
		return "man/man3p/" + m[2] + ".3p" + m[4]
	}
	return "man/man" + m[1] + "/" + m[2] + "." + m[1] + m[4]
}

// perlModule has pkgsrc's framework list what a .packlist names.
func (p *porter) perlModule(name string) {
	if i := strings.Index(name, "/auto/"); i >= 0 {
		name = name[i+1:]
	}
	p.makefile("PERL5_PACKLIST+= "+name, `.include "../../lang/perl5/module.mk"`)
}

// byteCode lists what a tree's Python compiles a module to: installers make it
// too, each for the machine it runs on, and so it is in no capture's package.
func (p *porter) byteCode(pl *place, it *Item) {
	if !strings.HasSuffix(it.Path, ".py") || !strings.Contains(it.Path, "/site-packages/") {
		return
	}
	dir, base := path.Split(it.Path)
	file := Item{Kind: KindFile}
	switch p.tree {
	case "pkgsrc":
		for _, suffix := range []string{"c", "o"} {
			file.Path = it.Path + suffix
			p.add(pl, file)
		}
	case "openbsd":
		cache := Item{Kind: KindDir, Path: Var("MODPY_COMMENT") + dir + Var("MODPY_PYCACHE")}
		if !p.once[cache.Path] {
			p.once[cache.Path] = true
			p.add(pl, cache)
		}
		file.Path = dir + Var("MODPY_PYCACHE") + strings.TrimSuffix(base, "py") + Var("MODPY_PYC_MAGIC_TAG") + "pyc"
		p.add(pl, file)
	}
}
