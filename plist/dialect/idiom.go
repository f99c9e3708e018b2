package dialect

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Port is what a captured installation becomes in a ports tree: the packing
// list and the lines of the Makefile that go with it.
type Port struct {
	Items    []Item
	Makefile []string
	Dropped  []Remark // what no list of the tree may hold
	Remarks  []Remark // what the porter has to look at

	list *plist.List
}

// A Remark is about one path below the prefix.
type Remark struct{ Path, Text string }

// customs is how a tree's reviewers want a list.
type customs struct {
	man      string // the suffix of a manual page: none, or what the tree's framework compresses to
	confdir  string // variable of the directory of configuration files
	samples  bool   // configuration files lie in share/examples, not beside their sample
	pagesTop bool   // manual pages and info files lie below the prefix, not in share
	covering bool   // a libtool archive or a .packlist stands for what it names
}

var trees = map[string]customs{
	"pkgsrc":  {confdir: "PKG_SYSCONFDIR", samples: true, covering: true, pagesTop: true},
	"freebsd": {man: ".gz", confdir: "PREFIX"},
	"openbsd": {confdir: "SYSCONFDIR", samples: true, pagesTop: true},
}

// porter makes one Port.
type porter struct {
	customs
	tree    string
	list    *plist.List
	facts   Facts
	port    Port
	in      section
	out     section
	paths   map[string]bool // what is listed, by entry path
	covered map[string]bool // entry paths that a libtool archive or .packlist accounts for
	full    map[string]bool // where the directories are that hold something listed, by homeOf
	fonts   map[string]bool // entry paths of the directories that fonts lie in
	libs    map[string]int  // how many files would be at a path, were all of archDirs lib
	tags    []Item
	users   map[string]string // uid -> name, of the accounts that the installation made
	groups  map[string]string // gid -> name
	shells  map[string]bool   // absolute paths of login shells
	walk    bool
	once    map[string]bool // lines of the Makefile and tags so far
}

// NewPort puts a captured list into the idiom of a tree: the types by content,
// manual pages as the tree compresses them, libtool archives for their
// libraries, samples for configuration files, nothing that is no package's. The
// list must be valid; facts are what Inspect found.
func NewPort(tree string, l *plist.List, facts Facts) (*Port, error) {
	d, err := find(tree)
	if err != nil {
		return nil, err
	}
	c, ok := trees[tree]
	if !ok {
		return nil, &Unexpressible{Format: tree, Entry: l.Name, Reason: "it is no ports tree's"}
	}
	p := &porter{
		customs: c, tree: tree, list: l, facts: facts, walk: d.walk, port: Port{list: l},
		paths: make(map[string]bool), covered: make(map[string]bool), full: make(map[string]bool), fonts: make(map[string]bool), once: make(map[string]bool),
		users: make(map[string]string), groups: make(map[string]string), shells: make(map[string]bool),
	}
	accounts := p.accounts()
	places := placesOf(l)
	p.libs = libsOf(places)
	for i := range places {
		p.note(&places[i])
	}
	for i := range places {
		p.place(&places[i])
	}
	remarks(l, func(it Item) bool {
		p.port.Remarks = append(p.port.Remarks, Remark{Text: it.Text})
		return true
	})
	p.port.Items = d.join(slices.Concat(accounts, p.in.items(), p.tags), p.out.items())
	p.port.Makefile = sortMakefile(p.port.Makefile)
	return &p.port, nil
}

// note learns from a place what matters for others.
func (p *porter) note(pl *place) {
	name, fact := pl.Entry.Path, p.factOf(pl)
	p.paths[name] = true
	dir := path.Dir(name)
	if fontFile.MatchString(name) {
		p.fonts[dir] = true
	}
	if p.covering {
		for _, covered := range fact.Covers {
			if covered[0] != '/' {
				covered = "/" + path.Join(dir, covered)
			}
			p.covered[covered[1:]] = true
			if above, page, ok := strings.Cut(covered[1:], "/man/man"); ok { // Debian's /usr/local/man is a link to share/man
				p.covered[above+"/share/man/man"+page] = true
			}
		}
	}
	if (!pl.Mode.IsDir() || !pl.full) && p.junk(pl, fact) == "" {
		for dir := path.Dir(p.homeOf(pl)); dir != "." && dir != "/" && !p.full[dir]; dir = path.Dir(dir) {
			p.full[dir] = true
		}
	}
}

// homeOf is where the tree has what was captured: absolute if that is outside
// the prefix.
func (p *porter) homeOf(pl *place) string {
	if pl.outside {
		return "/" + p.customary(pl.path)
	}
	return p.customary(pl.path)
}

func (p *porter) factOf(pl *place) *Fact {
	if fact := p.facts[pl.Entry.Path]; fact != nil {
		return fact
	}
	return &Fact{}
}

// place puts one path into the list, or says why it does not belong there.
func (p *porter) place(pl *place) {
	fact := p.factOf(pl)
	if reason := p.junk(pl, fact); reason != "" {
		p.port.Dropped = append(p.port.Dropped, Remark{pl.path, reason})
		return
	}
	home := p.homeOf(pl)
	pl.path = strings.TrimPrefix(home, "/")
	it := pl.item()
	p.named(&it)
	switch {
	case pl.Mode.IsDir():
		if !pl.full || p.full[home] {
			p.dir(pl, it)
		}
	case p.covered[pl.Entry.Path]:
	case p.covering && path.Base(pl.path) == ".packlist":
		p.perlModule(pl.path)
	case !p.hooks(pl.path, fact):
		p.file(pl, fact, it)
	}
}

// file puts what is no directory into the list, as what it is.
func (p *porter) file(pl *place, fact *Fact, it Item) {
	it.Type = fact.Type
	switch {
	case fact.Type == TypeRCScript:
		p.rcScript(pl, it)
		return
	case p.config(pl, it):
		return
	case p.tree == "freebsd" && p.freebsdFile(pl, &it):
		return
	case p.shells["/"+pl.Entry.Path] || (fact.Type == TypeProgram || isSymlink(pl.Entry)) && knownShell.MatchString(pl.path):
		it.Type = TypeShell
		if p.tree == "pkgsrc" { // its list has no word for it
			p.makefile(makefileLines(p.tree, &Item{Kind: KindFile, Type: TypeShell, Path: it.Path})...)
			it.Type = ""
		}
	case p.isPage(pl, fact):
		it.Path, it.Type = compression.ReplaceAllString(it.Path, "")+p.man, TypeMan
	case fact.Type == TypeInfo && p.infoPart(pl.Entry):
		return
	case fact.Type == TypeInfo && p.tree == "pkgsrc":
		it.Type = ""
		p.makefile("INFO_FILES= yes")
	case p.tree == "openbsd" && p.openbsdLibrary(pl, &it):
		return
	case it.Type == TypeLibtool || it.Type == TypePkgconfig:
		it.Type = "" // OpenBSD has words for them, which its lists do not use
	}
	p.add(pl, it)
	p.byteCode(pl, &it)
}

// knownShell matches the programs that shells(5) gets a line for by the packages
// that bring them, though not by what their "make install" does.
var knownShell = regexp.MustCompile(`^bin/(bash|rbash|dash|elvish|es|fish|ksh|ksh93|lksh|mksh|oksh|rc|sash|scponly|tcsh|yash|zsh)$`)

// isPage reports whether a file, or a link to one, is a manual page for its tree.
func (p *porter) isPage(pl *place, fact *Fact) bool {
	if fact.Type != TypeMan && !(isSymlink(pl.Entry) && manPage.MatchString(pl.path)) {
		return false
	}
	switch p.tree {
	case "openbsd":
		return openbsdPage(pl.path)
	case "freebsd":
		return freebsdManDir.MatchString(pl.path)
	}
	return true
}

// freebsdManDir matches what is in the directories of manual pages that FreeBSD's
// framework compresses: those that MANDIRS has by itself (bsd.port.mk) or by USES=perl5.
// Of others, as of lib/node_modules/npm/man, no page is.
var freebsdManDir = regexp.MustCompile(`^((usr/)?(share/)?man|lib/perl5/site_perl/man)/`)

// freebsdFile reports whether FreeBSD's framework lists a file or takes it away,
// and moves a .pc file to where its USES=pathfix does. A link goes where its target does,
// as graphics/png has it: libpng.la and libpng.pc are links there.
func (p *porter) freebsdFile(pl *place, it *Item) bool {
	typ := it.Type
	if fact := p.facts[p.target(pl.Entry)]; fact != nil && isSymlink(pl.Entry) {
		typ = fact.Type
	}
	switch {
	case it.Type == TypeInfo:
		if !p.infoPart(pl.Entry) {
			p.makefile("INFO+= " + strings.TrimSuffix(path.Base(compression.ReplaceAllString(pl.path, "")), ".info"))
		}
		return true
	case typ == TypeLibtool:
		p.port.Dropped = append(p.port.Dropped, Remark{pl.path, "USES=libtool removes it"})
		return true
	case typ == TypePkgconfig && strings.HasPrefix(it.Path, "lib/pkgconfig/"):
		it.Path = "libdata/" + strings.TrimPrefix(it.Path, "lib/")
	}
	return false
}

// openbsdLibrary gives a library the version that is the port's to choose, and
// reports whether it is a link to one, for which OpenBSD has no use.
func (p *porter) openbsdLibrary(pl *place, it *Item) bool {
	dir, base := path.Split(pl.path)
	name, version, _ := strings.Cut(base, ".so")
	if isSymlink(pl.Entry) && sharedName.MatchString(base) && p.facts[p.target(pl.Entry)] != nil {
		p.port.Dropped = append(p.port.Dropped, Remark{pl.path, "ld.so(1) finds a library without links"})
		return true
	}
	if it.Type == TypeLibrary && version != "" {
		lib := strings.TrimPrefix(name, "lib")
		// A new port's libraries begin at 0.0; by custom a comment has upstream's.
		p.makefile("SHARED_LIBS+= " + lib + " 0.0 # " + strings.TrimPrefix(version, "."))
		it.Path = dir + name + ".so." + Var("LIB"+lib+"_VERSION")
	}
	return false
}

// target returns the entry path that a symlink leads to, through others.
func (p *porter) target(e *plist.Entry) string {
	name := e.Path
	for range 8 { // as many as any installer needs, and an end for a loop
		if e == nil || !isSymlink(e) {
			break
		}
		if name = path.Join(path.Dir(name), e.Link); e.Link[0] == '/' {
			name = path.Clean(e.Link)[1:]
		}
		e = p.list.Find(name)
	}
	return name
}

// add lists an item, with its owner and mode where its tree says them.
func (p *porter) add(pl *place, it Item) {
	sec := &p.in
	if pl.outside {
		sec = &p.out
	}
	if p.tree == "pkgsrc" && it.special() {
		absolute := it
		absolute.Path = variablePlace(pl)
		p.makefile(makefileLines(p.tree, &absolute)...)
		if it.Kind == KindDir {
			return // OWN_DIRS_PERMS makes it
		}
		it = it.ordinary()
	}
	sec.add(pl, it, p.walk)
}

// variablePlace is a place as the variables of pkgsrc's pkginstall want it: below the
// prefix, or absolute.
func variablePlace(pl *place) string {
	switch {
	case !pl.outside:
		return pl.path
	case strings.HasPrefix(pl.path, "var/"):
		return Var("VARBASE") + strings.TrimPrefix(pl.path, "var")
	}
	return "/" + pl.path
}

func (p *porter) makefile(lines ...string) {
	for _, line := range lines {
		if line = shown(line); !p.once[line] {
			p.once[line] = true
			p.port.Makefile = append(p.port.Makefile, line)
		}
	}
}

var compression = regexp.MustCompile(`\.(gz|bz2|xz|Z|zst)$`)

// infoPart reports whether e is a part of a split info file whose first part is
// listed: the trees find the parts themselves.
func (p *porter) infoPart(e *plist.Entry) bool {
	name := compression.ReplaceAllString(e.Path, "")
	main := strings.TrimRight(name, "0123456789")
	main, isPart := strings.CutSuffix(main, "-")
	suffix := e.Path[len(name):]
	return isPart && (p.paths[main+suffix] || p.paths[main+".info"+suffix])
}

// rcScript declares a script of rc.d instead of listing it.
func (p *porter) rcScript(pl *place, it Item) {
	name := path.Base(pl.path)
	switch p.tree {
	case "pkgsrc":
		p.makefile("RCD_SCRIPTS+= " + name)
		p.remark(pl.path, "becomes "+Var("FILESDIR")+"/"+name+".sh")
	case "freebsd":
		p.makefile("USE_RC_SUBR+= " + name)
		p.remark(pl.path, "becomes files/"+name+".in")
	default:
		it.Path, it.Mode = Var("RCDIR")+"/"+name, ""
		p.add(&place{Entry: pl.Entry}, it)
	}
}

func (p *porter) remark(path, text string) {
	p.port.Remarks = append(p.port.Remarks, Remark{path, shown(text)})
}

// dir lists a directory, or says who makes it.
func (p *porter) dir(pl *place, it Item) {
	it.Type = ""
	switch {
	case pl.within("etc") && !standardDir.MatchString(pl.path):
		p.configDir(pl, it)
		return
	case strings.HasPrefix(pl.path, "share/fonts/") && p.tree != "pkgsrc" && p.fonts[pl.Entry.Path]:
		it.Type = TypeFonts
		pl.full = false // is always listed
	case pl.outside && pl.within("var") && p.tree == "openbsd":
		it.Kind, it.Path = KindSample, "/"+pl.path
	case pl.outside && pl.within("var") && p.tree == "pkgsrc" && !it.special() && !pl.full:
		p.makefile("OWN_DIRS+= " + printable(variablePlace(pl)))
		return
	}
	p.add(pl, it)
}

// within reports whether the place is a directory or below it.
func (p *place) within(dir string) bool { return plist.Within(p.path, dir) }

var fontFile = regexp.MustCompile(`\.(ttf|otf|ttc|pcf|pcf\.gz|bdf|pfa|pfb)$`)
